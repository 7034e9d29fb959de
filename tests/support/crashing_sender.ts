/**
 * `send-alert` as its function runs it, in a process that can be killed at an exact step: it tells on stdout when it has
 * reached the step, and then does nothing more. The line itself is untouched: it is given a hub and a network that stop.
 */
import type { Log } from "../../supabase/functions/_shared/log.ts";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import { openHub } from "../../supabase/functions/_shared/hub/client.ts";
import { runSendAlert } from "../../supabase/functions/send-alert/run.ts";
import type { SendAlertSummary } from "../../supabase/functions/send-alert/summary.ts";
import { HOLD_HEADER, SENDER_HEADER, SILENCE_HEADER } from "./faulty_network.ts";
import { seededRandom } from "../simulator/random.ts";
import { watchSql } from "./watched_sql.ts";

/** Where a sender can die, in the order of the line. */
export const STEPS = [
  "before deciding",
  "after deciding",
  "before claiming",
  "after claiming",
  "before storing",
  "after storing",
  "before sending",
  "once the vendor took it",
  "after the answer",
  "before settling",
  "after settling",
] as const;
export type Step = typeof STEPS[number];

/** What a sender works on. */
export interface SenderOptions {
  /** Its name, in its requests. */
  sender: string;
  databaseUrl: string;
  /** `host:port` that alerts may go to. */
  allowedHost: string;
  /** `host:port` at which nobody listens. */
  refusingHost: string;
  /** Function secrets. */
  secrets: Record<string, string>;
  /** Stops at this step, the so manieth time that it comes there. */
  stopAt?: { step: Step; occurrence: number };
  /** How many of its connections are refused, 0 to 1. */
  refused: number;
  seed: number;
}

/** What a sender tells, a line each. */
export type SenderLine =
  | { told: "reached"; step: Step }
  | { told: "refused" }
  | { told: "settled"; id: string; kind: string }
  | { told: "done"; sent: number }
  | { told: "failed"; code: string };

const SILENT: Log = { info: () => {}, warn: () => {}, error: () => {}, with: () => SILENT };

/** Runs `send-alert` once. */
export async function sendOnce(
  options: SenderOptions,
  tell: (line: SenderLine) => void,
): Promise<SendAlertSummary> {
  const hub = openHub({ databaseUrl: options.databaseUrl, caCert: null });
  const stopAt = stopper(options, tell);
  const sql = watchSql(hub, {
    before: async (query) => {
      if (query.includes("monitoring.policy_view")) await stopAt("before deciding");
      if (query.includes("monitoring.claim_deliveries")) await stopAt("before claiming");
      if (query.includes("monitoring.store_rendered")) await stopAt("before storing");
      if (query.includes("monitoring.settle_delivery")) await stopAt("before settling");
    },
    after: async (query, [id, _token, outcome]) => {
      if (query.includes("monitoring.apply_policy")) await stopAt("after deciding");
      if (query.includes("monitoring.claim_deliveries")) await stopAt("after claiming");
      if (query.includes("monitoring.store_rendered")) await stopAt("after storing");
      if (query.includes("monitoring.settle_delivery")) {
        tell({ told: "settled", id: String(id), kind: JSON.parse(String(outcome)).kind });
        await stopAt("after settling");
      }
    },
  });
  try {
    return await runSendAlert({
      sql,
      log: SILENT,
      clock: () => new Date(),
      config: {
        outgoingAllowedHosts: [options.allowedHost],
        secret: (name) => options.secrets[name],
      },
      deadline: new Date(Date.now() + 90_000),
      fetch: network(options, stopAt, tell),
      random: () => 1,
      pause: () => Promise.resolve(),
    }, {});
  } finally {
    await hub.end({ timeout: 1 });
  }
}

function stopper({ stopAt }: SenderOptions, tell: (line: SenderLine) => void) {
  let left = stopAt?.occurrence ?? 0;
  return async (step: Step): Promise<void> => {
    if (stopAt?.step !== step || --left !== 0) return;
    tell({ told: "reached", step });
    await never();
  };
}

/** Keeps its process alive until that is killed. */
function never(): Promise<never> {
  setInterval(() => {}, 60_000);
  return new Promise(() => {});
}

/** The sender's way out: named, at times refused, and with no need to wait for what never comes. */
function network(
  options: SenderOptions,
  stopAt: (step: Step) => Promise<void>,
  tell: (line: SenderLine) => void,
): typeof fetch {
  const random = seededRandom(options.seed);
  let requests = 0;
  return async (input, init) => {
    const { step, occurrence } = options.stopAt ?? {};
    const held = step === "once the vendor took it" && ++requests === occurrence;
    await stopAt("before sending");
    const url = new URL(String(input));
    if (!held && random.chance(options.refused)) {
      tell({ told: "refused" });
      url.host = options.refusingHost;
    }
    const headers = new Headers(init?.headers);
    headers.set(SENDER_HEADER, options.sender);
    if (held) headers.set(HOLD_HEADER, "yes");
    // one that is held outlasts every timeout
    const response = await fetch(url, { ...init, headers, ...held ? { signal: null } : {} });
    if (response.headers.has(SILENCE_HEADER)) throw new DOMException("Signal timed out", "TimeoutError");
    await stopAt("after the answer");
    return response;
  };
}

if (import.meta.main) {
  const encoder = new TextEncoder();
  const tell = (line: SenderLine) => void Deno.stdout.writeSync(encoder.encode(`${JSON.stringify(line)}\n`));
  try {
    const { sent } = await sendOnce(JSON.parse(Deno.args[0] ?? "{}"), tell);
    tell({ told: "done", sent });
  } catch (error) {
    tell({ told: "failed", code: error instanceof AppError ? error.code : String(error) });
  }
}
