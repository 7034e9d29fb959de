/**
 * Those outside who notice when checks stop coming: a dead man's switch (healthchecks.io and its like) and Sentry's
 * crons. They hear of a check when it has begun and when it is recorded; whether they can be reached changes nothing.
 *
 * Sources: healthchecks' "Pinging API"; Sentry's "Crons: HTTP" and Relay's check-in endpoint.
 */
import type { OutgoingRequest } from "../_shared/channels/channel.ts";
import { deliver } from "../_shared/channels/deliver.ts";
import { AppError } from "../_shared/errors.ts";
import type { CheckRunEnd } from "../_shared/hub/check_runs.ts";
import type { Duties } from "../_shared/hub/duties.ts";
import type { TriggerInput } from "../_shared/http/trigger.ts";
import { failureFields, type Log } from "../_shared/log.ts";
import { cronsUrl, monitorConfig, sentryPlace } from "../_shared/rules/sentry.ts";
import { cut, oneLine } from "../_shared/rules/text.ts";

/** Milliseconds that a watchdog may take to answer. */
const TIMEOUT_MS = 5_000;
/** UTF-16 units of what a watchdog is told of a failure. */
const REASON_LIMIT = 500;
/** The monitor's name at Sentry. */
const SLUG = "check-job-health";
/** Minutes after which Sentry calls a check late, and one that does not end failed. */
const SENTRY_LIMITS = { checkin_margin: 5, max_runtime: 10 };

/** What watchdogs need of the world. */
export interface WatchdogDeps {
  config: { outgoingAllowedHosts: readonly string[]; secret(name: string): string | undefined };
  log: Log;
  fetch?: typeof fetch;
}

/** What became of telling one of them. */
export interface WatchdogReport {
  watchdog: "dead_man" | "sentry";
  told: "complete" | "failed";
  ok: boolean;
  error?: string;
}

/** News of a check. */
export type CheckNews =
  | { kind: "begun"; duties: Duties | null }
  | { kind: "complete" }
  | { kind: "failed"; reason: string };

interface Watchdog {
  name: WatchdogReport["watchdog"];
  /** @throws {AppError} `config_invalid` where it is not set up right. */
  request(news: CheckNews): OutgoingRequest;
}

/** The watchdogs of one check. */
export interface Watchdogs {
  /** Tells that the check has begun, and waits for nobody. */
  begin(duties: Duties | null): void;
  /** Tells how it ended, after its beginning was told; never throws. */
  end(ending: CheckRunEnd): Promise<WatchdogReport[]>;
}

/**
 * The watchdogs that hear of this check: the dead man's switch of every check of all projects that is recorded, Sentry
 * only of those on schedule, because it expects them at their times.
 */
export function watchdogsOf(deps: WatchdogDeps, input: TriggerInput): Watchdogs {
  const whole = input.project === undefined && !input.dry_run;
  const dogs = whole ? [deadMan(deps), ...input.source === "cron" ? [sentry(deps)] : []] : [];
  const kept = dogs.filter((dog) => dog !== null);
  const begun = new Map<Watchdog, Promise<string | null>>();
  let silence: string | null = null;
  return {
    begin(duties) {
      silence = silenceOf(duties);
      for (const dog of kept) begun.set(dog, tell(deps, dog, { kind: "begun", duties }));
    },
    end(ending) {
      const news = newsOf(ending, silence);
      return Promise.all(kept.map(async (dog) => {
        const errors = [await begun.get(dog) ?? null, await tell(deps, dog, news)];
        const error = [...new Set(errors.filter((one) => one !== null))].join("; ");
        const ok = errors[1] === null;
        return { watchdog: dog.name, told: news.kind, ok, ...error === "" ? {} : { error } };
      }));
    },
  };
}

/** A check is worth nothing to anybody while its alerts do not go out. */
function silenceOf(duties: Duties | null): string | null {
  const since = duties?.alerts_silent_since ?? null;
  return since === null ? null : `no alert goes out: send-alert has not come to an end since ${since}`;
}

function newsOf(
  { status, error }: CheckRunEnd,
  silence: string | null,
): Exclude<CheckNews, { kind: "begun" }> {
  const reasons = [status === "complete" ? null : `${status}: ${error ?? "no reason is known"}`, silence];
  const reason = reasons.filter((one) => one !== null).join("; ");
  return reason === ""
    ? { kind: "complete" }
    : { kind: "failed", reason: cut(oneLine(reason), REASON_LIMIT) };
}

/** Why it did not hear; `null`: it did. */
async function tell(deps: WatchdogDeps, dog: Watchdog, news: CheckNews): Promise<string | null> {
  const error = await send(deps, dog, news).catch((thrown) => {
    deps.log.error("watchdog broke", { watchdog: dog.name, ...failureFields(thrown) });
    return "unexpected error; the function's log has it";
  });
  const fields = { watchdog: dog.name, news: news.kind };
  if (error === null) deps.log.info("watchdog told", fields);
  else deps.log.warn("watchdog not told", { ...fields, error });
  return error;
}

async function send(
  { config, fetch }: WatchdogDeps,
  dog: Watchdog,
  news: CheckNews,
): Promise<string | null> {
  try {
    const request = dog.request(news);
    const answer = await deliver(request, {
      timeoutMs: TIMEOUT_MS,
      allowedHosts: config.outgoingAllowedHosts,
      secrets: [request.url, ...new URL(request.url).pathname.split("/").filter((part) => part.length >= 16)],
      ...(fetch === undefined ? {} : { fetch }),
    });
    if (answer.kind === "timeout") return "it did not answer in time";
    if (answer.kind === "network") return "it could not be reached";
    const taken = answer.status >= 200 && answer.status < 300;
    return taken ? null : `it answered ${answer.status}${answer.excerpt === "" ? "" : `: ${answer.excerpt}`}`;
  } catch (error) {
    if (error instanceof AppError) return error.message;
    throw error;
  }
}

/** A URL per check; `/start` and `/fail` behind its path tell the rest. */
function deadMan({ config }: WatchdogDeps): Watchdog | null {
  const base = config.secret("DEADMAN_PING_URL");
  if (base === undefined) return null;
  return {
    name: "dead_man",
    request(news) {
      const url = parseUrl("DEADMAN_PING_URL", base);
      const suffix = { begun: "/start", complete: "", failed: "/fail" }[news.kind];
      url.pathname = url.pathname.replace(/\/+$/, "") + suffix;
      return {
        url: url.href,
        method: "POST",
        headers: { "content-type": "text/plain; charset=utf-8" },
        body: news.kind === "failed" ? news.reason : "",
      };
    },
  };
}

/** Check-ins of one check share an id; the monitor is made, or changed, with them. */
function sentry({ config }: WatchdogDeps): Watchdog | null {
  const own = config.secret("SENTRY_CRONS_URL");
  const dsn = config.secret("SENTRY_DSN");
  if (own === undefined && dsn === undefined) return null;
  const checkInId = crypto.randomUUID().replaceAll("-", "");
  const status = { begun: "in_progress", complete: "ok", failed: "error" } as const;
  let monitor: object = {};
  return {
    name: "sentry",
    request(news) {
      const url = own === undefined ? sentryUrl(dsn ?? "") : parseUrl("SENTRY_CRONS_URL", own);
      if (news.kind === "begun") {
        monitor = monitorConfig(news.duties?.schedule ?? null, news.duties?.time_zone ?? null, SENTRY_LIMITS);
      }
      return {
        url: url.href,
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ check_in_id: checkInId, status: status[news.kind], ...monitor }),
      };
    },
  };
}

function sentryUrl(dsn: string): URL {
  const place = sentryPlace(dsn);
  if (place === null) throw invalid("SENTRY_DSN");
  return new URL(cronsUrl(place, SLUG));
}

function parseUrl(variable: string, text: string): URL {
  if (!URL.canParse(text)) throw invalid(variable);
  return new URL(text);
}

function invalid(variable: string): AppError {
  return new AppError("config_invalid", `Cannot use the secret "${variable}": it is not such a URL`);
}
