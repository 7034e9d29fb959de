/** Endpoints that others report to: no key of the project opens them, only a token that can do nothing else. */
import { AppError, isCallersFault } from "../errors.ts";
import { createLog, failureFields, type Log } from "../log.ts";
import { errorResponse } from "./error_response.ts";
import { reportingLog } from "./error_reports.ts";

/** Header that carries the token: `Authorization` would leave its first characters in the platform's own logs. */
const TOKEN_HEADER = "x-report-token";

/** What a receiver is given for one request. */
export interface ReceivedReport {
  request: Request;
  /** As sent, `null` without one. Not yet checked. */
  token: string | null;
  log: Log;
}

/** A receiver as it is served. */
export interface ReceiverDefinition {
  /** As in the URL. */
  name: string;
  /** Checks the token, does the work and answers what was done. */
  run(report: ReceivedReport): Promise<object>;
}

/**
 * Serves a receiver: POST only. It logs nothing of a report that went well or was refused: a drain of the hub's own logs
 * would bring each line back.
 */
export function serveReceiver(
  definition: ReceiverDefinition,
): { fetch(request: Request): Promise<Response> } {
  return {
    async fetch(request) {
      const requestId = crypto.randomUUID();
      const log = reportingLog(
        createLog({ function: definition.name, request_id: requestId }),
        definition.name,
      );
      try {
        if (request.method !== "POST") {
          throw new AppError("method_not_allowed", `Use POST to call "${definition.name}"`);
        }
        const token = request.headers.get(TOKEN_HEADER);
        const answer = await definition.run({ request, token, log });
        return Response.json({ ok: true, request_id: requestId, ...answer });
      } catch (error) {
        if (!isCallersFault(error)) log.error("request failed", failureFields(error));
        return errorResponse(error, requestId);
      } finally {
        await request.body?.cancel().catch(() => {});
      }
    },
  };
}
