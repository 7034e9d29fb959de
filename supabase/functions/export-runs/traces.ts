/** Runs and incidents to an OTLP endpoint, batch by batch. */
import { z } from "zod";
import { deliver } from "../_shared/channels/deliver.ts";
import type { VendorAnswer } from "../_shared/channels/channel.ts";
import type { Cursor } from "../_shared/domain/export.ts";
import { AppError } from "../_shared/errors.ts";
import { moveExport, readTraces, type Traces } from "../_shared/hub/exports.ts";
import { parseHeaders, tracesBody, tracesUrl } from "../_shared/rules/traces.ts";
import type { ExportDeps, Exported } from "./deps.ts";

/** Spans of one request. */
const BATCH = 500;
/** Requests of one call: what is left is sent with the next. */
const BATCHES = 10;
/** Statuses by which OTLP says that the data itself is bad: sent again, they would be refused again. */
const REFUSED: ReadonlySet<number> = new Set([400, 413, 415, 422]);

/**
 * Sends batches until there is nothing left, an answer says no, or it was enough.
 *
 * @throws {AppError} `config_invalid`, `url_refused`, `hub_unreachable` or `hub_failed`.
 */
export async function exportTraces(deps: ExportDeps, token: string): Promise<Exported> {
  const place = placeOf(deps);
  const done: Exported = { sent: 0, refused: 0, error: null };
  for (let batch = 0; batch < BATCHES; batch++) {
    const found = await readTraces(deps.sql, BATCH);
    const count = found.runs.length + found.incidents.length;
    if (count === 0) return done;
    const verdict = verdictOf(await send(deps, place, found), count);
    if (verdict.kind === "later") return { ...done, error: verdict.error };
    const { refused } = verdict;
    if (verdict.error !== null) deps.log.warn("traces refused", { refused, reason: verdict.error });
    done.sent += count - refused;
    done.refused += refused;
    const moved = await moveExport(deps.sql, "traces", token, {
      run: lastOf(found.runs),
      incident: lastOf(found.incidents),
    });
    if (!moved || count < BATCH) return done;
  }
  return done;
}

/** Spans that the next request would hold. */
export async function countTraces({ sql }: ExportDeps): Promise<number> {
  const { runs, incidents } = await readTraces(sql, BATCH);
  return runs.length + incidents.length;
}

interface Place {
  url: string;
  headers: Record<string, string>;
}

function placeOf({ config }: ExportDeps): Place {
  const url = tracesUrl(config.secret("OTLP_ENDPOINT") ?? "");
  if (url === null) {
    throw new AppError("config_invalid", 'Cannot use the secret "OTLP_ENDPOINT": it is no URL');
  }
  const headers = parseHeaders(config.secret("OTLP_HEADERS") ?? "");
  if (headers === null) {
    throw new AppError("config_invalid", 'Cannot use the secret "OTLP_HEADERS": write name=value,name=value');
  }
  return { url, headers };
}

async function send(
  { config, fetch }: ExportDeps,
  { url, headers }: Place,
  { runs, incidents }: Traces,
): Promise<VendorAnswer> {
  return await deliver({
    url,
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(tracesBody(runs, incidents, config.secrets)),
  }, {
    allowedHosts: config.outgoingAllowedHosts,
    secrets: Object.values(headers),
    ...fetch === undefined ? {} : { fetch },
  });
}

const partial = z.object({
  partialSuccess: z.object({
    rejectedSpans: z.coerce.number().default(0),
    errorMessage: z.string().default(""),
  }),
});

/** `over`: whatever was refused would be refused again. */
type Verdict = { kind: "over"; refused: number; error: string | null } | { kind: "later"; error: string };

function verdictOf(answer: VendorAnswer, count: number): Verdict {
  if (answer.kind === "timeout") return { kind: "later", error: "the endpoint did not answer in time" };
  if (answer.kind === "network") return { kind: "later", error: "the endpoint could not be reached" };
  const { status, excerpt, json } = answer;
  if (status >= 200 && status < 300 && excerpt.startsWith("<")) {
    // a sign-in or a front page: whoever wrote it has not taken a span
    return { kind: "later", error: `the endpoint answered ${status} with a web page; is its address right?` };
  }
  if (status >= 200 && status < 300) {
    const { rejectedSpans = 0, errorMessage = "" } = partial.safeParse(json).data?.partialSuccess ?? {};
    return {
      kind: "over",
      refused: Math.min(count, rejectedSpans),
      error: rejectedSpans > 0 ? errorMessage : null,
    };
  }
  const error = `the endpoint answered ${status}${excerpt === "" ? "" : `: ${excerpt}`}`;
  return REFUSED.has(status) ? { kind: "over", refused: count, error } : { kind: "later", error };
}

function lastOf(rows: readonly { id: string; cursor_at: string }[]): Cursor | null {
  const last = rows.at(-1);
  return last === undefined ? null : { at: last.cursor_at, id: last.id };
}
