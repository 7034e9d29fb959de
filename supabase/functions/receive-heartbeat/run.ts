/** From a ping to its answer: plain text, as clients of ping APIs expect it. */
import type { Clock } from "../_shared/clock.ts";
import { AppError } from "../_shared/errors.ts";
import type { Ping, PingOutcome } from "../_shared/hub/heartbeats.ts";
import { failureFields, type Log } from "../_shared/log.ts";
import { secretBlanker } from "../_shared/rules/redact.ts";
import { readPingBody, readPingUrl } from "./ping_request.ts";
import type { UnknownCallers } from "./unknown_callers.ts";

/** What taking pings needs of the world. */
export interface PingDeps {
  /** Keeps a ping. */
  receive(ping: Ping): Promise<PingOutcome>;
  /** What of ours nobody may quote. */
  secrets(): readonly string[];
  unknownCallers: UnknownCallers;
  clock: Clock;
  log: Log;
}

const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST"]);

/** After how many seconds to try again when the hub does not answer. */
const HUB_RETRY_SECONDS = 10;

/** Answers a ping. Never throws, and tells nothing of tokens that it does not know. */
export async function answerPing(request: Request, deps: PingDeps): Promise<Response> {
  if (!METHODS.has(request.method)) {
    return answer(request, 405, "use GET, HEAD or POST", { allow: "GET, HEAD, POST" });
  }
  const now = deps.clock().getTime();
  const address = addressOf(request);
  const wait = deps.unknownCallers.waitSeconds(address, now);
  if (wait > 0) return tooMany(request, wait);
  const url = readPingUrl(new URL(request.url));
  if (!url.ok) {
    if (url.status === 404) deps.unknownCallers.note(address, now);
    return answer(request, url.status, url.message);
  }
  try {
    const body = await readPingBody(request);
    const kept = body === null ? null : secretBlanker(deps.secrets())(body);
    const outcome = await deps.receive({ ...url.ping, body: kept });
    switch (outcome.outcome) {
      case "kept":
        return answer(request, 200, "OK");
      case "limited":
        return tooMany(request, outcome.retry_after);
      case "unknown":
        deps.unknownCallers.note(address, now);
        return answer(request, 404, "not found");
    }
  } catch (error) {
    deps.log.error("ping not kept", failureFields(error));
    const again = error instanceof AppError && error.retryable;
    return answer(
      request,
      again ? 503 : 500,
      again ? "try again" : "the ping could not be kept",
      again ? { "retry-after": String(HUB_RETRY_SECONDS) } : {},
    );
  }
}

function tooMany(request: Request, seconds: number): Response {
  return answer(request, 429, "too many pings", { "retry-after": String(seconds) });
}

function answer(
  request: Request,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(request.method === "HEAD" ? null : text, {
    status,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "no-store",
      "access-control-allow-origin": "*",
      ...headers,
    },
  });
}

/** Who called, as the platform says: a caller can begin `x-forwarded-for` himself, not what Cloudflare writes. */
function addressOf({ headers }: Request): string {
  return headers.get("cf-connecting-ip") ?? headers.get("x-forwarded-for")?.split(",", 1)[0]?.trim() ?? "";
}
