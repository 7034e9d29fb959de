/** From what the hub knows to an answer in the format that was asked for. */
import { z } from "zod";
import type { StatusView } from "../_shared/domain/status.ts";
import { prometheusText, reportStatus } from "../_shared/rules/status.ts";

/** Parameters of the URL. Without `format`, a caller that prefers text (as Prometheus does) gets text. */
export const statusInput = z.strictObject({ format: z.enum(["json", "prometheus"]).optional() });
export type StatusInput = z.infer<typeof statusInput>;

const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const TEXT_TYPES: ReadonlySet<string> = new Set([
  "text/plain",
  "application/openmetrics-text",
  "application/vnd.google.protobuf",
]);

/** Answers the status. 200 also where something is wrong: the answer says so. */
export function answerStatus(
  view: StatusView,
  input: StatusInput,
  { accept, requestId }: { accept: string; requestId: string },
): Response {
  const text = input.format === undefined ? prefersText(accept) : input.format === "prometheus";
  const headers = { "cache-control": "no-store" };
  if (!text) return Response.json({ ok: true, request_id: requestId, ...reportStatus(view) }, { headers });
  return new Response(prometheusText(view), { headers: { ...headers, "content-type": PROMETHEUS_TYPE } });
}

/** What Prometheus asks for, also where it would rather have its binary format; scripts and browsers name others first. */
function prefersText(accept: string): boolean {
  const types = accept.split(",").map((type) => type.split(";", 1)[0]?.trim().toLowerCase() ?? "");
  const first = types.find((type) => TEXT_TYPES.has(type) || type === "application/json");
  return first !== undefined && TEXT_TYPES.has(first);
}
