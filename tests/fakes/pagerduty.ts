/** A strict PagerDuty: the Events API v2, and the alerts that are open by their keys. */
import type { Verdict } from "./verdict.ts";

/** The one service that exists. */
export interface PagerDutyService {
  routingKey: string;
}

/** Events of a service in {@link RATE_WINDOW_MS}. */
const RATE_LIMIT = 120;
const RATE_WINDOW_MS = 60_000;
const SIZE_LIMIT = 512 * 1024;
const SEVERITIES = ["critical", "error", "warning", "info"];
const PAYLOAD_KEYS = [
  "summary",
  "source",
  "severity",
  "timestamp",
  "component",
  "group",
  "class",
  "custom_details",
];
const EVENT_KEYS = [
  "routing_key",
  "event_action",
  "dedup_key",
  "payload",
  "images",
  "links",
  "client",
  "client_url",
];

type Json = Record<string, unknown>;

/** A service's own memory of when it was called, and of its open alerts. */
export function createPagerDuty(service: PagerDutyService, now: () => number) {
  let calls: number[] = [];
  const open = new Set<string>();
  return function enqueue(url: URL, raw: string): Verdict {
    if (url.pathname !== "/v2/enqueue") return { accepted: false, text: null, status: 404, body: "" };
    if (new TextEncoder().encode(raw).length > SIZE_LIMIT) return refusal(413, ["Event exceeds 512 KB"]);
    const event = parseObject(raw);
    if (event === null) return refusal(400, ["Invalid JSON body"]);
    if (event.routing_key !== service.routingKey) {
      return refusal(400, ["'routing_key' is not the key of an integration"]);
    }
    const at = now();
    calls = calls.filter((call) => at - call < RATE_WINDOW_MS);
    if (calls.length >= RATE_LIMIT) {
      const body = { status: "throttle exceeded", message: "Too many events" };
      return { accepted: false, text: null, status: 429, body };
    }
    calls.push(at);
    const faults = faultsOf(event);
    if (faults.length > 0) return refusal(400, faults);
    const key = String(event.dedup_key ?? crypto.randomUUID());
    const text = textOf(event, key, open.has(key));
    if (event.event_action === "trigger") open.add(key);
    if (event.event_action === "resolve") open.delete(key);
    const body = { status: "success", message: "Event processed", dedup_key: key };
    return { accepted: true, text, status: 202, body };
  };
}

function refusal(status: number, errors: string[]): Verdict {
  const body = { status: "invalid event", message: "Event object is invalid", errors };
  return { accepted: false, text: null, status, body };
}

function faultsOf(event: Json): string[] {
  const faults = unknownKeys(event, EVENT_KEYS, "");
  const { event_action: action, dedup_key: key, payload } = event;
  if (!["trigger", "acknowledge", "resolve"].includes(String(action))) {
    faults.push("'event_action' is invalid");
  }
  if (key !== undefined && (typeof key !== "string" || key.length > 255)) {
    faults.push("'dedup_key' is too long");
  }
  if (action !== "trigger") {
    return key === undefined ? [...faults, "'dedup_key' is missing or blank"] : faults;
  }
  if (typeof payload !== "object" || payload === null) return [...faults, "'payload' is missing or blank"];
  return [...faults, ...payloadFaults(payload as Json), ...linkFaults(event)];
}

function payloadFaults(payload: Json): string[] {
  const faults = unknownKeys(payload, PAYLOAD_KEYS, "payload.");
  const { summary, source, severity, timestamp, custom_details: details } = payload;
  if (typeof summary !== "string" || summary.trim() === "") {
    faults.push("'payload.summary' is missing or blank");
  } else if (new TextEncoder().encode(summary).length > 1_024) faults.push("'payload.summary' is too long");
  if (typeof source !== "string" || source.trim() === "") faults.push("'payload.source' is missing or blank");
  if (!SEVERITIES.includes(String(severity))) faults.push("'payload.severity' is invalid");
  if (timestamp !== undefined && Number.isNaN(Date.parse(String(timestamp)))) {
    faults.push("'payload.timestamp' is not ISO 8601");
  }
  for (const name of ["component", "group", "class"]) {
    if (payload[name] !== undefined && typeof payload[name] !== "string") {
      faults.push(`'payload.${name}' is no string`);
    }
  }
  if (details !== undefined && typeof details !== "object") {
    faults.push("'payload.custom_details' is no object");
  }
  return faults;
}

function linkFaults({ links, client_url: clientUrl }: Json): string[] {
  const urls = [
    ...Array.isArray(links) ? links.map((link) => link.href) : [],
    ...clientUrl ? [clientUrl] : [],
  ];
  return urls.flatMap((url) => /^https:\/\/[^\s/]+/.test(String(url)) ? [] : [`'${url}' is no URL`]);
}

function unknownKeys(object: Json, known: readonly string[], path: string): string[] {
  return Object.keys(object).flatMap((key) => known.includes(key) ? [] : [`'${path}${key}' is unknown`]);
}

/** What a responder sees; that an alert was open already shows whether keys fit together. */
function textOf(event: Json, key: string, isOpen: boolean): string {
  const action = String(event.event_action);
  if (action !== "trigger") return `${action} ${key}${isOpen ? "" : " (no open alert)"}`;
  const { summary, source, severity, component, group, class: code, custom_details: details } = event
    .payload as Json;
  const lines = Object.entries((details ?? {}) as Json).map(([label, value]) => `${label}: ${value}`);
  const links = ((event.links ?? []) as Json[]).map(({ href, text }) => `${text} <${href}>`);
  return [
    `trigger ${key}${isOpen ? " (open already)" : ""}`,
    `[${severity}] ${summary}`,
    [source, group, component, code].filter(Boolean).join(" / "),
    ...lines,
    ...links,
  ].join("\n");
}

function parseObject(raw: string): Json | null {
  try {
    const value = JSON.parse(raw);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
