/** Reads a ping from a request: the URL says who and what, the body is kept. The API of healthchecks.io, as clients speak it. */
import type { PingKind } from "../_shared/domain/heartbeat.ts";
import type { Ping } from "../_shared/hub/heartbeats.ts";
import { clean } from "../_shared/rules/text.ts";

/** Bytes of a body that are kept. */
export const BODY_LIMIT = 10_000;

/** Bytes of a body that are read at all. */
const READ_LIMIT = 1024 * 1024;

/** A longer text is no token of ours. */
const TOKEN_LIMIT = 200;

/** A ping without its body, or what is wrong with the request. */
export type PingUrl =
  | { ok: true; ping: Omit<Ping, "body"> }
  | { ok: false; status: 400 | 404; message: string };

const RUN_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Reads `…/receive-heartbeat/<token>[/start | /fail | /log | /<exit code>][?rid=<uuid>]`. */
export function readPingUrl(url: URL): PingUrl {
  const [, token = "", action = "", rest = ""] =
    /\/receive-heartbeat\/([^/]+)(?:\/([^/]*)(.*))?$/.exec(url.pathname) ?? [];
  if (token === "" || token.length > TOKEN_LIMIT || rest !== "") return NOT_FOUND;
  const said = readAction(action);
  if (said === null) return NOT_FOUND;
  if (said.exitCode !== null && said.exitCode > 255) {
    return { ok: false, status: 400, message: "The exit code must be 0 to 255" };
  }
  const runId = url.searchParams.get("rid");
  if (runId !== null && !RUN_ID.test(runId)) return { ok: false, status: 400, message: "rid must be a UUID" };
  return { ok: true, ping: { token: token.toLowerCase(), ...said, runId: runId?.toLowerCase() ?? null } };
}

const NOT_FOUND = { ok: false, status: 404, message: "not found" } as const;

function readAction(action: string): { kind: PingKind; exitCode: number | null } | null {
  if (action === "") return { kind: "success", exitCode: null };
  if (action === "start" || action === "fail" || action === "log") return { kind: action, exitCode: null };
  if (!/^\d{1,9}$/.test(action)) return null;
  const exitCode = Number(action);
  return { kind: exitCode === 0 ? "success" : "fail", exitCode };
}

/** Reads what came with a ping, cut with a word about it; `null`: nothing did. */
export async function readPingBody(request: Request): Promise<string | null> {
  const kept = new Uint8Array(BODY_LIMIT);
  let size = 0;
  for await (const chunk of request.body ?? []) {
    if (size < BODY_LIMIT) kept.set(chunk.subarray(0, BODY_LIMIT - size), size);
    size += chunk.length;
    if (size > READ_LIMIT) break;
  }
  if (size === 0) return null;
  // a character that the limit cuts in two is left out
  const cut = size > BODY_LIMIT;
  const text = new TextDecoder().decode(kept.subarray(0, Math.min(size, BODY_LIMIT)), { stream: cut });
  const whole = size > READ_LIMIT ? `more than ${READ_LIMIT}` : String(size);
  return clean(text) + (cut ? `\n… cut: the first ${BODY_LIMIT} of ${whole} bytes were kept` : "");
}
