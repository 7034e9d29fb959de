/** Drains the outbox: claims, renders, sends, settles, until nothing is due or the time is up. */
import { isUnsent, SENDING_TIMEOUT_MS } from "../_shared/channels/deliver.ts";
import { channels } from "../_shared/channels/mod.ts";
import type { ClaimedDelivery, RenderedMessage } from "../_shared/domain/delivery.ts";
import { AppError } from "../_shared/errors.ts";
import { failureFields } from "../_shared/log.ts";
import {
  type Claim,
  claimDeliveries,
  settleDelivery,
  type Settlement,
  storeRendered,
  type UnreadableDelivery,
} from "../_shared/hub/deliveries.ts";
import { composeMessage } from "../_shared/rules/message.ts";
import { nextAttempt } from "../_shared/rules/retry.ts";
import type { SendAlertDeps } from "./deps.ts";
import { send } from "./send.ts";
import type { SendResult } from "./send_parts.ts";
import { type DeliveryReport, toldIncidents } from "./summary.ts";

/** Deliveries leased at a time. */
const BATCH = 20;
/** Long enough for a batch of which every message takes its full time but one in two. */
const LEASE_SECONDS = 120;
/** A request and the settling after it; with less than this left of a lease or of the run, none is begun. */
const SENDING_MS = SENDING_TIMEOUT_MS + 5_000;
/**
 * What one run takes on, in {@link effortOf deliveries of one incident}: a third of the CPU that an edge function has for
 * a request (2 s), by `bench/deliveries.ts`. The next run, a minute later, goes on.
 */
const EFFORT_LIMIT = 120;
/** A delivery that tells of so many more incidents takes as long again; so does one with so many letters of errors. */
const INCIDENTS_OF_ONE_EFFORT = 40;
const LETTERS_OF_ONE_EFFORT = 20_000;
/** Waits before a settling is tried again over a new connection; the driver needs a moment to notice that the old is gone. */
const SETTLE_WAITS_MS = [50, 500];
/** Failures in a row after which a target rests for this run, so that one dead vendor does not use up its time. */
const FAILURES_BEFORE_REST = 2;

/** What a run remembers of its targets, by id of the row in `alert_config`. */
export interface Run {
  deps: SendAlertDeps;
  reports: DeliveryReport[];
  /** Rows that get nothing more in this run. */
  resting: Set<string>;
  failures: Map<string, number>;
  lastSentAt: Map<string, number>;
  /** What was taken on so far, see {@link effortOf}. */
  effort: number;
}

/**
 * Sends what is due, as much as one run may: time and effort are limited.
 *
 * @returns How many deliveries were refused for good: what becomes of their news can be decided at once.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function drainOutbox(run: Run): Promise<number> {
  const refusedBefore = refusedOf(run);
  while (timeLeft(run.deps) > SENDING_MS && effortLeft(run) > 0) {
    // before the claim: by our clock the lease is over sooner than by the hub's
    const leaseEnds = run.deps.clock().getTime() + LEASE_SECONDS * 1000;
    const claim = await claimDeliveries(run.deps.sql, {
      limit: Math.min(BATCH, Math.ceil(effortLeft(run))),
      leaseSeconds: LEASE_SECONDS,
      except: [...run.resting],
    });
    if (claim.deliveries.length + claim.unreadable.length === 0) break;
    await sendBatch(run, claim, leaseEnds);
  }
  return refusedOf(run) - refusedBefore;
}

function effortLeft({ deps, effort }: Run): number {
  return (deps.effortLimit ?? EFFORT_LIMIT) - effort;
}

/** CPU that a delivery takes, by that of one which tells of one incident. */
function effortOf({ incidents }: ClaimedDelivery): number {
  const letters = incidents.reduce((sum, { detail }) => sum + (detail.errorMessage?.length ?? 0), 0);
  return 1 + (incidents.length - 1) / INCIDENTS_OF_ONE_EFFORT + letters / LETTERS_OF_ONE_EFFORT;
}

function refusedOf({ reports }: Run): number {
  return reports.filter(({ state }) => state === "failed").length;
}

/** Targets side by side, the messages of one target one after the other. */
async function sendBatch(run: Run, claim: Claim, leaseEnds: number): Promise<void> {
  const inTime = () => Math.min(leaseEnds - run.deps.clock().getTime(), timeLeft(run.deps)) >= SENDING_MS;
  for (const delivery of claim.unreadable) await putBack(run, delivery);
  const byTarget = Map.groupBy(claim.deliveries, (delivery) => delivery.alertConfigId);
  const targets = await Promise.allSettled([...byTarget].map(async ([alertConfigId, deliveries]) => {
    for (const delivery of deliveries) {
      const put = !inTime() || effortLeft(run) <= 0 || run.resting.has(alertConfigId);
      if (put) await settle(run, delivery, { kind: "release" });
      else await sendOne(run, delivery, inTime);
    }
  }));
  const broken = targets.find((target) => target.status === "rejected");
  if (broken !== undefined) throw broken.reason;
}

async function sendOne(run: Run, delivery: ClaimedDelivery, inTime: () => boolean): Promise<void> {
  const notes: string[] = [];
  run.effort += effortOf(delivery);
  await keepPace(run, delivery);
  const wire = watchWire(run.deps);
  const result = await attempt({ ...run, deps: wire.deps }, delivery, inTime, (note) => notes.push(note));
  run.lastSentAt.set(delivery.alertConfigId, run.deps.clock().getTime());
  if (result.kind === "lost") return;
  if (result.kind === "late") return void await settle(run, delivery, { kind: "release" });
  restIfNeeded(run, delivery.alertConfigId, result);
  const settlement = settlementOf(run, delivery, result, wire.uncertain());
  const settled = await settle(run, delivery, settlement);
  const { id, channel, event, attempts } = delivery;
  const error = "error" in settlement ? { error: settlement.error } : {};
  const note = notes.length > 0 ? { note: notes.join("; ") } : {};
  run.deps.log[settlement.kind === "sent" ? "info" : "warn"]("delivery attempted", {
    ...{ delivery_id: id, channel, news: event, attempts, result: settlement.kind, settled },
    ...error,
    ...note,
  });
  run.reports.push({ ...reportOf(delivery), state: STATES[settlement.kind], ...error, ...note });
}

const STATES = { sent: "sent", retry: "due", permanent: "failed", release: "due" } as const;

/** One bad delivery never stops the others: whatever goes wrong with it is its own result. */
async function attempt(
  run: Run,
  delivery: ClaimedDelivery,
  inTime: () => boolean,
  note: (text: string) => void,
): Promise<SendResult> {
  try {
    return await send(
      {
        ...delivery,
        render: () => renderOf(run, delivery),
        store: (rendered) => storeRendered(run.deps.sql, delivery, rendered),
        inTime,
      },
      run.deps,
      note,
    );
  } catch (error) {
    if (isUnreachable(error)) throw error;
    run.deps.log.error("delivery broke", { delivery_id: delivery.id, ...failureFields(error) });
    const text = error instanceof AppError
      ? error.message
      : "Unexpected error; the log of send-alert has it under this delivery's id";
    return { kind: "retry", error: text, retryAfterMs: null, throttled: false };
  }
}

/** With buttons only where somebody hears of their presses. */
function renderOf({ deps }: Run, delivery: ClaimedDelivery): RenderedMessage {
  const channel = channels[delivery.channel];
  const message = composeMessage({ ...delivery, now: deps.clock() });
  const pressable = channel.pressSecret !== undefined &&
    deps.config.secret(channel.pressSecret) !== undefined;
  return channel.render(pressable ? { ...message, pressed: delivery.id } : message);
}

function settlementOf(
  { deps }: Run,
  delivery: ClaimedDelivery,
  result: Exclude<SendResult, { kind: "lost" | "late" }>,
  uncertain: boolean,
): Settlement {
  if (result.kind === "sent") return { kind: "sent", providerId: result.providerId };
  if (result.kind === "permanent") return { kind: "permanent", error: result.error, about: result.about };
  const delayMs = nextAttempt(delivery.attempts, result.retryAfterMs, deps.random ?? Math.random);
  return { kind: "retry", error: result.error, delayMs, uncertain };
}

/** Watches whether the vendor may have the message: a request without an answer, or one that began well, is in doubt. */
function watchWire(deps: SendAlertDeps): { deps: SendAlertDeps; uncertain(): boolean } {
  const fetch = deps.fetch ?? globalThis.fetch;
  let uncertain = false;
  const watching: typeof fetch = async (...request) => {
    const before = uncertain;
    uncertain = true;
    const response = await fetch(...request).catch((error) => {
      if (isUnsent(error)) uncertain = before;
      throw error;
    });
    uncertain = before || response.ok;
    return response;
  };
  return { deps: { ...deps, fetch: watching }, uncertain: () => uncertain };
}

/** A throttled target gets nothing more in this run: vendors ban who goes on. Nor does one that keeps failing. */
function restIfNeeded(run: Run, alertConfigId: string, result: SendResult): void {
  const failures = result.kind === "retry" ? (run.failures.get(alertConfigId) ?? 0) + 1 : 0;
  run.failures.set(alertConfigId, failures);
  // refused for good: what else is due there goes elsewhere, once that is decided
  const refused = result.kind === "permanent" && result.about === "target";
  if (refused || failures >= FAILURES_BEFORE_REST || (result.kind === "retry" && result.throttled)) {
    run.resting.add(alertConfigId);
  }
}

async function keepPace({ deps, lastSentAt }: Run, delivery: ClaimedDelivery): Promise<void> {
  const last = lastSentAt.get(delivery.alertConfigId);
  if (last === undefined) return;
  const wait = last + channels[delivery.channel].paceMs - deps.clock().getTime();
  if (wait > 0) await (deps.pause ?? pause)(wait);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function settle(run: Run, delivery: ClaimedDelivery, settlement: Settlement): Promise<boolean> {
  const settled = await settleThrough(run, delivery, settlement);
  if (!settled) {
    run.deps.log.warn("lease was lost before settling", {
      delivery_id: delivery.id,
      result: settlement.kind,
    });
  }
  return settled;
}

/** What is not settled is sent again, so that a lost connection is not the end: the driver opens a new one. */
async function settleThrough(
  { deps }: Run,
  delivery: ClaimedDelivery,
  settlement: Settlement,
): Promise<boolean> {
  for (const waitMs of SETTLE_WAITS_MS) {
    try {
      return await settleDelivery(deps.sql, delivery, settlement);
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      deps.log.warn("hub was lost while settling", { delivery_id: delivery.id, result: settlement.kind });
      await pause(waitMs);
    }
  }
  return await settleDelivery(deps.sql, delivery, settlement);
}

/** A row that we cannot read stays due, with the reason. */
async function putBack(run: Run, delivery: UnreadableDelivery): Promise<void> {
  const { id, channel, event, attempts } = delivery;
  const error = `Cannot read the delivery: ${delivery.error}`;
  const delayMs = nextAttempt(attempts, null, run.deps.random ?? Math.random);
  await settleDelivery(run.deps.sql, delivery, { kind: "retry", error, delayMs });
  run.deps.log.error("delivery cannot be read", { delivery_id: id, error });
  run.reports.push({ id, alert_config_id: null, channel, event, state: "due", error, incidents: [] });
}

/** A delivery as the answer tells it. */
export function reportOf(delivery: ClaimedDelivery): Omit<DeliveryReport, "state"> {
  return {
    id: delivery.id,
    alert_config_id: delivery.alertConfigId,
    channel: delivery.channel,
    event: delivery.event,
    incidents: toldIncidents(delivery.incidents),
  };
}

function isUnreachable(error: unknown): boolean {
  return error instanceof AppError && error.code === "hub_unreachable";
}

function timeLeft({ deadline, clock }: SendAlertDeps): number {
  return deadline.getTime() - clock().getTime();
}
