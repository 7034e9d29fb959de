/** How the jobs' last runs went, to Sentry's crons: one check-in a job, for those of `app_settings.sentry_job_check_ins`. */
import { deliver } from "../_shared/channels/deliver.ts";
import type { ExportedCheckIn } from "../_shared/domain/export.ts";
import { AppError } from "../_shared/errors.ts";
import { cursorBefore, moveExport, readCheckIns } from "../_shared/hub/exports.ts";
import { cronsUrl, jobSlug, monitorConfig, type SentryPlace, sentryPlace } from "../_shared/rules/sentry.ts";
import type { ExportDeps, Exported } from "./deps.ts";

/** Check-ins of one call: what is left is sent with the next. */
const LIMIT = 500;
/** Of them at the same time. */
const SIDE_BY_SIDE = 10;
const TIMEOUT_MS = 5_000;
/** Minutes by which a check-in may be late: checks see a run up to 15 minutes after it, and this comes 5 after them. */
const LIMITS = { checkin_margin: 25 };

/**
 * Sends what is new. Those of one batch that were refused for good are counted and left; where Sentry is away or wants a rest,
 * the cursor stays and all are sent again, each under the same id.
 *
 * @throws {AppError} `config_invalid`, `url_refused`, `hub_unreachable` or `hub_failed`.
 */
export async function exportCheckIns(deps: ExportDeps, token: string): Promise<Exported> {
  const place = sentryPlace(deps.config.secret("SENTRY_DSN") ?? "");
  if (place === null) {
    throw new AppError("config_invalid", 'Cannot use the secret "SENTRY_DSN": it is no DSN');
  }
  const { checkIns, until } = await readCheckIns(deps.sql, LIMIT);
  const done: Exported = { sent: 0, refused: 0, error: null };
  for (let first = 0; first < checkIns.length; first += SIDE_BY_SIDE) {
    const batch = checkIns.slice(first, first + SIDE_BY_SIDE);
    const answers = await Promise.all(batch.map((checkIn) => send(deps, place, checkIn)));
    const later = answers.find((answer) => answer.kind === "later");
    if (later !== undefined) return { ...done, error: later.error };
    for (const [index, answer] of answers.entries()) {
      if (answer.kind === "sent") done.sent++;
      else deps.log.warn("check-in refused", { job: batch[index]?.job, reason: answer.error });
    }
    done.refused += answers.filter(({ kind }) => kind === "refused").length;
    const last = batch.at(-1);
    if (last === undefined) continue;
    if (
      !await moveExport(deps.sql, "check_ins", token, {
        run: { at: last.cursor_at, id: last.id },
        incident: null,
      })
    ) {
      return done;
    }
  }
  if (checkIns.length < LIMIT) {
    await moveExport(deps.sql, "check_ins", token, { run: cursorBefore(until), incident: null });
  }
  return done;
}

/** Check-ins that the next call would send. */
export async function countCheckIns({ sql }: ExportDeps): Promise<number> {
  return (await readCheckIns(sql, LIMIT)).checkIns.length;
}

type Answer = { kind: "sent" } | { kind: "refused"; error: string } | { kind: "later"; error: string };

async function send(
  { config, fetch }: ExportDeps,
  place: SentryPlace,
  checkIn: ExportedCheckIn,
): Promise<Answer> {
  const { job_id: jobId, project, job, status, duration_seconds: duration, schedule, time_zone: zone } =
    checkIn;
  const answer = await deliver({
    url: cronsUrl(place, jobSlug(project, job, jobId)),
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      check_in_id: checkIn.id.replaceAll("-", ""),
      status: status === "success" ? "ok" : "error",
      ...duration === null ? {} : { duration },
      ...monitorConfig(schedule, zone, LIMITS),
    }),
  }, {
    timeoutMs: TIMEOUT_MS,
    allowedHosts: config.outgoingAllowedHosts,
    secrets: [place.publicKey],
    ...fetch === undefined ? {} : { fetch },
  });
  if (answer.kind !== "response") return { kind: "later", error: `Sentry: ${answer.kind}` };
  if (answer.status >= 200 && answer.status < 300) return { kind: "sent" };
  const error = `Sentry answered ${answer.status}: ${answer.excerpt}`;
  const isLater = answer.status === 429 || answer.status >= 500 || [401, 403].includes(answer.status);
  return isLater ? { kind: "later", error } : { kind: "refused", error };
}
