/** From what the hub knows to an answer in the format that was asked for. */
import { z } from "zod";
import type { StatusView } from "../_shared/domain/status.ts";
import { prometheusText, reportStatus } from "../_shared/rules/status.ts";

/** Parameters of the URL. Without `format`, a caller that prefers text (as Prometheus does) gets text. */
export const statusInput = z.strictObject({ format: z.enum(["json", "prometheus"]).optional() });
export type StatusInput = z.infer<typeof statusInput>;

const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

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

function prefersText(accept: string): boolean {
  const first = accept.split(",", 1)[0]?.trim() ?? "";
  return first.startsWith("text/plain") || first.startsWith("application/openmetrics-text");
}
