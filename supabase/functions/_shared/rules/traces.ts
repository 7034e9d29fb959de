/**
 * Runs and incidents as traces: one trace each, of one span. Ids are made of the hub's own, so that what is sent again is the
 * same span.
 *
 * Source: OpenTelemetry Protocol 1.x, "OTLP/HTTP" with JSON: ids in hexadecimal, 64-bit numbers as text, enums as numbers.
 */
import type { ExportedIncident, ExportedRun } from "../domain/export.ts";
import { redact, secretParts } from "./redact.ts";

type Attribute = { key: string; value: { stringValue: string } | { intValue: string } };

interface Span {
  traceId: string;
  spanId: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  status: { code: number; message?: string };
}

/** `SPAN_KIND_INTERNAL`. */
const INTERNAL = 1;
/** `STATUS_CODE_UNSET`, `STATUS_CODE_OK`, `STATUS_CODE_ERROR`. */
const [UNSET, OK, ERROR] = [0, 1, 2] as const;

/** Header lines that a list such as `OTLP_HEADERS` names: `name=value,name=value`, values percent-encoded. */
export function parseHeaders(text: string): Record<string, string> | null {
  const pairs = text.split(",").map((pair) => pair.trim()).filter((pair) => pair !== "");
  const headers: [string, string][] = [];
  for (const pair of pairs) {
    const [, name, value] = /^([\w-]+)\s*=\s*(.+)$/.exec(pair) ?? [];
    if (name === undefined || value === undefined) return null;
    try {
      headers.push([name.toLowerCase(), decodeURIComponent(value)]);
    } catch {
      return null;
    }
  }
  return Object.fromEntries(headers);
}

/** Where traces go: the endpoint is a base, as OpenTelemetry's own variables have it, or the whole address. */
export function tracesUrl(endpoint: string): string | null {
  if (!URL.canParse(endpoint)) return null;
  const url = new URL(endpoint);
  if (!url.pathname.endsWith("/v1/traces")) url.pathname = url.pathname.replace(/\/*$/, "/v1/traces");
  return url.href;
}

/** The body of one request. */
export function tracesBody(
  runs: readonly ExportedRun[],
  incidents: readonly ExportedIncident[],
  secrets: readonly string[],
): object {
  const known = secrets.flatMap(secretParts);
  const spans = [
    ...runs.map((run) => ({ project: run.project, span: spanOfRun(run, known) })),
    ...incidents.map((incident) => ({ project: incident.project, span: spanOfIncident(incident, known) })),
  ];
  const projects = [...new Set(spans.map(({ project }) => project))];
  return {
    resourceSpans: projects.map((project) => ({
      resource: {
        attributes: [text("service.name", project), text("service.namespace", "supabase-job-monitor")],
      },
      scopeSpans: [{
        scope: { name: "supabase-job-monitor" },
        spans: spans.filter((one) => one.project === project).map(({ span }) => span),
      }],
    })),
  };
}

function spanOfRun(run: ExportedRun, secrets: readonly string[]): Span {
  const error = run.error === null ? null : redact(run.error, secrets);
  const failed = run.status === "failed" || run.status === "missed";
  return {
    ...frame(run, run.job),
    attributes: [
      text("job.name", run.job),
      text("job.status", run.status),
      text("job.source", run.source),
      ...run.type === null ? [] : [text("job.type", run.type)],
      ...run.user === null ? [] : [text("job.user", run.user)],
      ...run.run_id === null ? [] : [{ key: "job.run_id", value: { intValue: String(run.run_id) } }],
    ],
    status: failed
      ? { code: ERROR, message: error ?? (run.status === "missed" ? "no run for this slot" : "failed") }
      : { code: run.status === "success" ? OK : UNSET },
  };
}

function spanOfIncident(incident: ExportedIncident, secrets: readonly string[]): Span {
  return {
    ...frame(incident, `incident ${incident.code}`),
    attributes: [
      text("incident.code", incident.code),
      text("incident.severity", incident.severity),
      text("incident.subject_kind", incident.kind),
      text("incident.subject", incident.subject),
      ...incident.resolution === null ? [] : [text("incident.resolution", incident.resolution)],
    ],
    status: { code: ERROR, message: redact(incident.summary, secrets) },
  };
}

function frame(
  { id, began_us: began, ended_us: ended }: { id: string; began_us: string; ended_us: string },
  name: string,
) {
  const hex = id.replaceAll("-", "").toLowerCase();
  return {
    traceId: hex,
    // the half of a random uuid whose variant bits are never all zero
    spanId: hex.slice(16),
    name,
    kind: INTERNAL,
    startTimeUnixNano: `${began}000`,
    endTimeUnixNano: `${BigInt(ended) < BigInt(began) ? began : ended}000`,
  };
}

function text(key: string, value: string): Attribute {
  return { key, value: { stringValue: value } };
}
