/** A strict OTLP/HTTP endpoint for traces in JSON: refuses what a collector refuses, and what it would take and misread. */

/** A span as taken. */
export interface TakenSpan {
  project: string;
  traceId: string;
  spanId: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Record<string, string>;
  status: { code: number; message?: string };
}

/** A running one. */
export interface FakeOtlp {
  handle(request: Request): Promise<Response>;
  /** As given to `OTLP_HEADERS`. */
  readonly headers: string;
  taken: TakenSpan[];
  /** Spans of each request that was taken. */
  batches: number[];
  /** Answers the next requests in place of its own. */
  script(...answers: (() => Response)[]): void;
}

const PATH = "/api/public/otel/v1/traces";
const CREDENTIAL = "Basic cGstbGYtdGVzdDpzay1sZi10ZXN0";
/** Bytes of a request. */
const BODY_LIMIT = 4_500_000;
const SPAN_KEYS = [
  "traceId",
  "spanId",
  "parentSpanId",
  "name",
  "kind",
  "startTimeUnixNano",
  "endTimeUnixNano",
  "attributes",
  "status",
];

export function createOtlp(): FakeOtlp {
  const taken: TakenSpan[] = [];
  const batches: number[] = [];
  const scripted: (() => Response)[] = [];
  return {
    taken,
    batches,
    headers: `Authorization=${encodeURIComponent(CREDENTIAL)},x-langfuse-ingestion-version=4`,
    script: (...answers) => void scripted.push(...answers),
    async handle(request) {
      const body = await request.text();
      const answer = scripted.shift();
      if (answer !== undefined) return answer();
      if (new URL(request.url).pathname !== PATH) return refuse(404, "not found");
      if (request.method !== "POST") return refuse(405, "method not allowed");
      if (request.headers.get("authorization") !== CREDENTIAL) return refuse(401, "unauthorized");
      if (request.headers.get("content-type") !== "application/json") {
        return refuse(415, "unsupported media type");
      }
      if (body.length > BODY_LIMIT) return refuse(413, "too large");
      const spans = readSpans(body);
      if (typeof spans === "string") return refuse(400, spans);
      taken.push(...spans);
      batches.push(spans.length);
      return Response.json({});
    },
  };
}

type Json = Record<string, unknown>;

function readSpans(body: string): TakenSpan[] | string {
  let parsed: Json;
  try {
    parsed = JSON.parse(body);
  } catch {
    return "not JSON";
  }
  if (Object.keys(parsed).join() !== "resourceSpans" || !Array.isArray(parsed.resourceSpans)) {
    return "no resourceSpans";
  }
  const spans: TakenSpan[] = [];
  for (const { resource, scopeSpans } of parsed.resourceSpans as { resource: Json; scopeSpans: Json[] }[]) {
    const about = attributesOf(resource?.attributes);
    if (about === null || about["service.name"] === undefined) return "a resource without service.name";
    for (const { scope, spans: list } of scopeSpans as { scope: Json; spans: Json[] }[]) {
      if (typeof scope?.name !== "string" || !Array.isArray(list) || list.length === 0) {
        return "an empty scope";
      }
      for (const span of list) {
        const fault = spanFault(span);
        if (fault !== null) return fault;
        spans.push({
          ...span as unknown as TakenSpan,
          project: about["service.name"],
          attributes: attributesOf(span.attributes) ?? {},
        });
      }
    }
  }
  return spans;
}

function spanFault(span: Json): string | null {
  const unknown = Object.keys(span).find((key) => !SPAN_KEYS.includes(key));
  if (unknown !== undefined) return `unknown field "${unknown}"`;
  const { traceId, spanId, name, kind, startTimeUnixNano: start, endTimeUnixNano: end, status } = span;
  if (!isHex(traceId, 32)) return "invalid trace id";
  if (!isHex(spanId, 16)) return "invalid span id";
  if (typeof name !== "string" || name === "") return "no name";
  if (!Number.isInteger(kind) || Number(kind) < 0 || Number(kind) > 5) return "kind is no number of the enum";
  if (!isNano(start) || !isNano(end)) return "times are no nanoseconds in text";
  if (BigInt(end) < BigInt(start)) return "ends before it starts";
  if (attributesOf(span.attributes) === null) return "invalid attributes";
  const { code, message, ...more } = status as Json;
  if (![0, 1, 2].includes(Number(code)) || typeof code !== "number" || Object.keys(more).length > 0) {
    return "invalid status";
  }
  if (message !== undefined && (typeof message !== "string" || code !== 2)) {
    return "a message that no error has";
  }
  return null;
}

function isHex(value: unknown, length: number): boolean {
  return typeof value === "string" && new RegExp(`^[0-9a-f]{${length}}$`).test(value) && !/^0+$/.test(value);
}

/** Of this century: a mistaken unit is none. */
function isNano(value: unknown): value is string {
  return typeof value === "string" && /^[1-4]\d{18}$/.test(value);
}

function attributesOf(list: unknown): Record<string, string> | null {
  if (!Array.isArray(list)) return null;
  const read: Record<string, string> = {};
  for (const { key, value, ...more } of list as { key: unknown; value: Json }[]) {
    const [kind, ...others] = Object.keys(value ?? {});
    if (
      typeof key !== "string" || key === "" || key in read || Object.keys(more).length + others.length > 0
    ) return null;
    const inner = value[kind ?? ""];
    if (
      typeof inner !== "string" || (kind !== "stringValue" && !(kind === "intValue" && /^-?\d+$/.test(inner)))
    ) return null;
    read[key] = inner;
  }
  return read;
}

function refuse(status: number, message: string): Response {
  return Response.json({ code: status, message }, { status });
}
