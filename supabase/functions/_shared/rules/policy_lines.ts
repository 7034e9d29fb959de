/** From what becomes of each piece of news to what is written: deliveries admitted, held, cancelled, cut and joined. */
import type { AlertRoute, NewsEvent } from "../domain/delivery.ts";
import type {
  CreatedDelivery,
  PolicyDecision,
  PolicyDelivery,
  PolicyIncident,
  SettledDelivery,
} from "../domain/policy.ts";
import { groupPieces, type Piece } from "./grouping.ts";

/** What becomes of a piece of news. */
export type Fate =
  | { kind: "go" }
  | { kind: "hold"; reason: string }
  /**
   * `instead`: the line that tells it now; while that is not written, this one stays. So it does while one of `needs`,
   * deliveries by id, is being sent or was sent since.
   */
  | { kind: "cancel"; reason: string; instead: Line | null; needs?: string[] };

/** One incident's news for one row: of a delivery that exists, or owed now. */
export interface Line {
  row: AlertRoute;
  event: NewsEvent;
  note: string | null;
  /** Epoch milliseconds. */
  createdAt: number;
  incident: PolicyIncident;
  existing: PolicyDelivery | null;
  whileOpen: boolean;
  unacknowledged: boolean;
  needs: string[];
  fate: Fate;
  /** Id of the delivery that tells it, once that is known. */
  writtenAs: string | null;
}

/** The part of a decision that is about deliveries. */
export type WrittenLines = Pick<PolicyDecision, "create" | "remove" | "settle">;

const DIGEST_WAIT = "More than 10 messages for this row within 5 minutes: told in the next digest";

/** Writes lines whose fates are known. */
export function writeLines(
  lines: readonly Line[],
  admittedRecently: Readonly<Record<string, number>>,
  newId: () => string,
): WrittenLines {
  const out: WrittenLines = { create: [], remove: [], settle: [] };
  const deliveries = [...Map.groupBy(lines, ({ existing }) => existing)];
  const waiting = deliveries.flatMap(([existing, own]) =>
    existing === null || existing.admitted ? [] : [{ existing, own }]
  );
  const owed = lines.filter(({ existing }) => existing === null);
  const going = [
    ...waiting.map(({ own }) => own.filter(({ fate }) => fate.kind === "go")),
    ...Map.groupBy(owed.filter(({ fate }) => fate.kind === "go"), togetherKey).values(),
  ].filter((own) => own.length > 0);
  for (const [row, own] of Map.groupBy(going, ([first]) => (first as Line).row.id)) {
    writeRow(own, admittedRecently[row] ?? 0, newId, out);
  }
  for (const own of Map.groupBy(owed.filter(({ fate }) => fate.kind === "hold"), togetherKey).values()) {
    writePiece(pieceOf(own), own, fateReason(own), newId, out);
  }
  for (const [existing, own] of deliveries) {
    if (existing !== null && !existing.uncertain) writeEnds(existing, own, newId, out);
  }
  return out;
}

function writeRow(going: Line[][], recent: number, newId: () => string, out: WrittenLines): void {
  const lines = going.flat();
  const { send, wait } = groupPieces(going.map(pieceOf), recent, lines[0]?.row.channel);
  for (const piece of send) writePiece(piece, lines, null, newId, out);
  for (const piece of wait) writePiece(piece, lines, DIGEST_WAIT, newId, out);
}

/** Owed now and of one kind, so one delivery tells it. */
function togetherKey({ row, event, note, incident, needs, fate }: Line): string {
  const reason = fate.kind === "hold" ? fate.reason : null;
  return JSON.stringify([row.id, event, note, incident.projectName, incident.code, needs, reason]);
}

function fateReason([first]: Line[]): string | null {
  return first?.fate.kind === "hold" ? first.fate.reason : null;
}

function pieceOf(lines: readonly Line[]): Piece {
  const [first] = lines as [Line];
  const { event, note, createdAt, whileOpen, unacknowledged, needs, existing } = first;
  return {
    ...{ event, note, createdAt, whileOpen, unacknowledged, needs },
    incidents: lines.map(({ incident }) => incident),
    absorbed: existing === null ? [] : [existing.id],
  };
}

/** A piece that is one delivery as it stands is settled; anything else becomes a delivery of its own. */
function writePiece(
  piece: Piece,
  candidates: readonly Line[],
  heldReason: string | null,
  newId: () => string,
  out: WrittenLines,
): void {
  const ids = new Set(piece.incidents.map(({ id }) => id));
  const lines = candidates.filter((line) => line.event === piece.event && ids.has(line.incident.id));
  const row = (lines[0] as Line).row;
  const [only] = piece.absorbed;
  const same = lines.filter(({ existing }) => existing?.id === only);
  const existing = same[0]?.existing;
  if (
    existing && piece.absorbed.length === 1 && same.length === piece.incidents.length &&
    candidates.filter((line) => line.existing?.id === only).length === same.length &&
    piece.needs.length === 1
  ) {
    for (const line of lines) line.writtenAs = existing.id;
    if (heldReason === null) out.settle.push({ id: existing.id, fate: "admit", into: null });
    else if (existing.heldReason !== heldReason) {
      out.settle.push({ id: existing.id, fate: "hold", reason: heldReason, into: null });
    }
    return;
  }
  const id = newId();
  for (const line of lines) line.writtenAs ??= id;
  out.create.push({ ...createdOf(piece, row, id), admitted: heldReason === null, heldReason });
  const settled = new Set(out.settle.map((one) => one.id));
  for (const absorbed of piece.absorbed.filter((one) => !settled.has(one))) {
    const reason = `Told together with others in delivery ${id}`;
    out.settle.push({ id: absorbed, fate: "cancel", reason, into: id });
  }
}

function createdOf(piece: Omit<Piece, "absorbed">, row: AlertRoute, id: string): CreatedDelivery {
  const { event, note, createdAt, whileOpen, unacknowledged, needs } = piece;
  return {
    ...{ id, event, note, whileOpen, unacknowledged, needs },
    alertConfigId: row.id,
    createdAt: needs.length === 0 ? null : createdAt,
    admitted: false,
    heldReason: null,
    cancelled: null,
    incidents: piece.incidents.map((incident) => incident.id),
  };
}

/** What of a delivery is not sent now: all of it is settled; a part is cut off, so that each row says one thing. */
function writeEnds(existing: PolicyDelivery, lines: Line[], newId: () => string, out: WrittenLines): void {
  const ends = lines.filter(({ fate }) => fate.kind !== "go");
  const groups = [...Map.groupBy(ends, endKey).values()].toSorted((a, b) => b.length - a.length);
  if (ends.length === lines.length) {
    const stays = groups.shift();
    if (stays !== undefined) settleWhole(existing, stays, out);
  }
  for (const group of groups) cutOff(existing, group, newId, out);
}

function endKey({ fate }: Line): string {
  const instead = fate.kind === "cancel" ? fate.instead?.row.id : null;
  return JSON.stringify([fate.kind, fate.kind === "go" ? null : fate.reason, instead]);
}

function settleWhole(existing: PolicyDelivery, group: Line[], out: WrittenLines): void {
  const fate = group[0]?.fate;
  if (fate === undefined || fate.kind === "go") return;
  if (fate.kind === "hold" && existing.heldReason === fate.reason) return;
  const into = fate.kind === "cancel" ? writtenInstead(fate) : null;
  if (into === undefined) return;
  const needs = neededBy(group);
  out.settle.push(
    {
      ...{ id: existing.id, fate: fate.kind, reason: fate.reason, into },
      ...needs.length > 0 ? { needs } : {},
    } satisfies SettledDelivery,
  );
}

function neededBy(group: readonly Line[]): string[] {
  return [...new Set(group.flatMap(({ fate }) => fate.kind === "cancel" ? fate.needs ?? [] : []))];
}

/** What tells it instead; `undefined` where nothing does after all. */
function writtenInstead(fate: Extract<Fate, { kind: "cancel" }>): string | null | undefined {
  return fate.instead === null ? null : fate.instead.writtenAs ?? undefined;
}

function cutOff(existing: PolicyDelivery, group: Line[], newId: () => string, out: WrittenLines): void {
  const [first] = group as [Line];
  const { fate, row } = first;
  if (fate.kind === "go" || (fate.kind === "cancel" && writtenInstead(fate) === undefined)) return;
  const id = newId();
  out.create.push({
    ...createdOf(pieceOf(group), row, id),
    heldReason: fate.kind === "hold" ? fate.reason : null,
    cancelled: fate.kind === "cancel" ? fate.reason : null,
    needs: [existing.id, ...neededBy(group)],
  });
  for (const { incident } of group) {
    out.remove.push({ deliveryId: existing.id, incidentId: incident.id, into: id });
  }
}
