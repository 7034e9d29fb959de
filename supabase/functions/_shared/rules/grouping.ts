/** How many messages one row of `alert_config` gets at once: the same news together, storms and floods as digests. */
import type { ChannelName, NewsEvent } from "../domain/delivery.ts";
import type { PolicyIncident } from "../domain/policy.ts";
import { SEVERITY_ORDER, worstSeverity } from "./routing.ts";

/** With more incidents than this at once for one row, it is a storm. */
const STORM_INCIDENTS = 30;
/** Messages that a storm may make for one row; where it would make more, each event is put together. */
const STORM_MESSAGES = 3;
/** Messages for one row within the breaker's window; the rest becomes a digest. */
const BREAKER_MESSAGES = 10;
/** Incidents of one message whose names fit the usual channels. */
const MESSAGE_INCIDENTS = 170;
/** Channels whose messages say how many there are, and name none. */
const NAMELESS: ReadonlySet<ChannelName> = new Set(["twilio"]);

/** News for one row that may be sent now. */
export interface Piece {
  event: NewsEvent;
  note: string | null;
  /** Epoch milliseconds. */
  createdAt: number;
  incidents: PolicyIncident[];
  /** The deliveries that exist and whose news this is, or is cut from. */
  needs: string[];
  /** Those of them that have nothing else to tell. */
  absorbed: string[];
  whileOpen: boolean;
  unacknowledged: boolean;
}

/** What is sent now and what waits for the next digest. */
export interface Grouping {
  send: Piece[];
  wait: Piece[];
}

/**
 * Puts together what one row gets at one tick.
 *
 * @param recent Messages that were let through for this row within the breaker's window.
 * @param channel One whose messages have no room for names gets no more of them for the sake of names.
 */
export function groupPieces(pieces: readonly Piece[], recent: number, channel?: ChannelName): Grouping {
  const most = channel !== undefined && NAMELESS.has(channel) ? 1 : STORM_MESSAGES;
  const grouped = fold(pieces, conditionOf);
  const { send, wait } = breaker(
    isStorm(grouped, most) ? fold(grouped, ({ event }) => event) : grouped,
    recent,
  );
  return { send: send.flatMap((piece) => inParts(piece, most)), wait };
}

/** Many incidents, which would make more messages than anybody wants to read. */
function isStorm(pieces: readonly Piece[], most: number): boolean {
  const sum = (count: (piece: Piece) => number) => pieces.reduce((total, piece) => total + count(piece), 0);
  return sum(({ incidents }) => incidents.length) > STORM_INCIDENTS &&
    sum((piece) => partsOf(piece, most)) > STORM_MESSAGES;
}

/** One message for what has the same key, at the place of the first. */
function fold(pieces: readonly Piece[], keyOf: (piece: Piece) => string): Piece[] {
  return [...Map.groupBy(pieces, keyOf).values()].map((same) => {
    const [first, ...others] = same;
    return first === undefined || others.length === 0 ? same[0] as Piece : together(first, same);
  });
}

function together(first: Piece, pieces: readonly Piece[]): Piece {
  const incidents = new Map(
    pieces.flatMap((piece) => piece.incidents.map((incident) => [incident.id, incident])),
  );
  const notes = new Set(pieces.map((piece) => piece.note));
  return {
    event: first.event,
    note: notes.size === 1 ? first.note : null,
    // never before the news that it must follow
    createdAt: Math.max(...pieces.map((piece) => piece.createdAt)),
    incidents: [...incidents.values()],
    needs: [...new Set(pieces.flatMap((piece) => piece.needs))],
    absorbed: [...new Set(pieces.flatMap((piece) => piece.absorbed))],
    whileOpen: pieces.every((piece) => piece.whileOpen),
    unacknowledged: pieces.every((piece) => piece.unacknowledged),
  };
}

/** The same project, condition and event; how it was before it ended makes no difference any more. */
function conditionOf(piece: Piece): string {
  const distinct = (values: string[]) => [...new Set(values)].sort();
  return JSON.stringify([
    piece.event,
    piece.note,
    distinct(piece.incidents.map(({ projectName }) => projectName)),
    piece.event === "resolved" ? null : distinct(piece.incidents.map(({ code }) => code)),
  ]);
}

/** Lets the gravest through one by one while there is room; a digest after that, and then none until there is room. */
function breaker(pieces: readonly Piece[], recent: number): Grouping {
  const room = Math.max(0, BREAKER_MESSAGES - recent);
  if (pieces.length <= room) return { send: [...pieces], wait: [] };
  const sorted = pieces.toSorted((a, b) => gravity(a) - gravity(b) || a.createdAt - b.createdAt);
  const rest = sorted.slice(room);
  const hadDigest = recent > BREAKER_MESSAGES;
  // critical always passes
  const now = hadDigest ? rest.filter((piece) => gravity(piece) === 0) : rest;
  return {
    send: [...sorted.slice(0, room), ...fold(now, (piece) => piece.event)],
    wait: rest.filter((piece) => !now.includes(piece)),
  };
}

function gravity(piece: Piece): number {
  return SEVERITY_ORDER.indexOf(worstSeverity(piece.incidents.map(({ severity }) => severity)));
}

function partsOf({ incidents }: Piece, most: number): number {
  return Math.min(most, Math.ceil(incidents.length / MESSAGE_INCIDENTS));
}

/** Cut by name, so that every name finds room in one of the messages; beyond `most` they get longer. */
function inParts(piece: Piece, most: number): Piece[] {
  const parts = partsOf(piece, most);
  if (parts <= 1) return [piece];
  const sorted = piece.incidents.toSorted((a, b) => sortKey(a) < sortKey(b) ? -1 : 1);
  const size = Math.ceil(sorted.length / parts);
  return Array.from({ length: parts }, (_, part) => ({
    ...piece,
    incidents: sorted.slice(part * size, (part + 1) * size),
  }));
}

function sortKey({ projectName, jobName, subjectId }: PolicyIncident): string {
  return `${projectName}\0${jobName ?? subjectId}`;
}
