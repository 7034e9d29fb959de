/** What a vendor calls: POST only, known by a secret or a signature instead of a key of the project. */
import type { z } from "zod";
import { AppError, isCallersFault } from "../errors.ts";
import { createLog, failureFields } from "../log.ts";
import { errorResponse } from "./error_response.ts";
import { parseBody, readBytes } from "./read_body.ts";
import { requestIdOf, withHeader } from "./request_id.ts";
import type { RequestContext } from "./serve.ts";
import { reportingLog } from "./error_reports.ts";

/** Bytes that a vendor's call may have: PagerDuty's have at most 256 KB, Telegram's far less. */
const BODY_LIMIT = 256 * 1024;

/** A webhook as it is served. */
export interface WebhookDefinition<Input> {
  /** As in the URL. */
  name: string;
  /** Whether the vendor sent it. */
  authenticate(headers: Headers, body: ArrayBuffer): Promise<boolean>;
  /** What we need of the body. */
  input: z.ZodType<Input>;
  /** Status of the answer where all went well. */
  status: 200 | 202;
  /** Does the work and answers what was done. What it throws is answered with 5xx, so that the vendor tries again. */
  run(input: Input, context: RequestContext): Promise<object>;
}

/** Serves a webhook. Who cannot show that he is the vendor is told nothing else. */
export function serveWebhook<Input>(
  definition: WebhookDefinition<Input>,
): { fetch(request: Request): Promise<Response> } {
  return {
    async fetch(request) {
      const requestId = requestIdOf(request);
      const response = await respond(definition, request, requestId);
      const headers = withHeader(response.headers, "x-request-id", requestId);
      return new Response(response.body, { status: response.status, headers });
    },
  };
}

async function respond<Input>(
  definition: WebhookDefinition<Input>,
  request: Request,
  requestId: string,
): Promise<Response> {
  const { name, status } = definition;
  const log = reportingLog(createLog({ function: name, request_id: requestId }), name);
  try {
    if (request.method !== "POST") {
      throw new AppError("method_not_allowed", `Use POST to call "${name}"`);
    }
    const bytes = await readBytes(request, BODY_LIMIT);
    if (!await definition.authenticate(request.headers, bytes)) {
      log.warn("call refused", { reason: "its secret or signature is missing or wrong" });
      throw new AppError("unauthorized", "Unauthorized");
    }
    const input = definition.input.safeParse(parseBody(bytes));
    if (!input.success) {
      const faults = input.error.issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`);
      log.warn("call not understood", { faults });
      throw new AppError("bad_request", `Cannot call "${name}": ${faults.join("; ")}`, { faults });
    }
    const done = await definition.run(input.data, { requestId, log });
    return Response.json({ ok: true, request_id: requestId, ...done }, { status });
  } catch (error) {
    if (!isCallersFault(error)) log.error("request failed", failureFields(error));
    return errorResponse(error, requestId);
  }
}
