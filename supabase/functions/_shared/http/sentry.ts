/** One event to Sentry, by one POST: what its SDK does besides costs a function more than all of its own work. */
import { deliver } from "../channels/deliver.ts";
import { secretsOf } from "../config.ts";
import { type Failure, failureEnvelope, sentryAuth, sentryPlace } from "../rules/sentry.ts";

/** Milliseconds that Sentry may take. */
const TIMEOUT_MS = 2_000;

/** Until when Sentry wants nothing from this process, in milliseconds since the epoch. */
let restUntil = 0;

/** What the caller knows of a failure; the rest is the environment's. */
export type KnownFailure = Pick<Failure, "functionName" | "event" | "code" | "text" | "extra">;

/**
 * Sends it. Answers why it could not, or `null`.
 *
 * @throws {AppError} `url_refused` where the DSN leads nowhere that we send to.
 */
export async function sendFailure(
  dsn: string,
  env: Readonly<Record<string, string>>,
  known: KnownFailure,
  fetch: typeof globalThis.fetch = globalThis.fetch,
): Promise<string | null> {
  const place = sentryPlace(dsn);
  if (place === null) return "SENTRY_DSN is no DSN";
  const at = new Date();
  if (at.getTime() < restUntil) return "Sentry wants fewer events";
  const failure: Failure = {
    ...known,
    eventId: crypto.randomUUID().replaceAll("-", ""),
    at,
    serverName: hostOf(env.SUPABASE_URL),
    release: env.SENTRY_RELEASE || env.DENO_DEPLOYMENT_ID || null,
    environment: env.SENTRY_ENVIRONMENT || "production",
  };
  const answer = await deliver({
    url: `${place.base}/api/${place.project}/envelope/`,
    method: "POST",
    headers: { "content-type": "application/x-sentry-envelope", "x-sentry-auth": sentryAuth(place) },
    body: failureEnvelope(failure, secretsOf(env)),
  }, {
    timeoutMs: TIMEOUT_MS,
    allowedHosts: (env.OUTGOING_ALLOWED_HOSTS ?? "").split(",").map((host) => host.trim()).filter(Boolean),
    secrets: [place.publicKey],
    fetch,
  });
  if (answer.kind !== "response") return `Sentry: ${answer.kind}`;
  if (answer.status === 429) restUntil = at.getTime() + (answer.retryAfterMs ?? 60_000);
  return answer.status === 200 ? null : `Sentry answered ${answer.status}: ${answer.excerpt}`;
}

function hostOf(url: string | undefined): string | null {
  return url !== undefined && URL.canParse(url) ? new URL(url).hostname : null;
}
