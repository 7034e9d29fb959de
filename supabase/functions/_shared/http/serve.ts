/** From a request to validated input to a Response: what every function's `index.ts` serves. */
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import { AppError } from "../errors.ts";
import { createLog, failureFields, type Log } from "../log.ts";
import { errorResponse, unauthorizedResponse } from "./error_response.ts";
import { readBody } from "./read_body.ts";
import { inBackground } from "./background.ts";
import { requestIdOf, withHeader } from "./request_id.ts";

/** What a function is given for one request. */
export interface RequestContext {
  requestId: string;
  log: Log;
}

/** A function as it is served. */
export interface FunctionDefinition<Input> {
  /** As in the URL. */
  name: string;
  /** What the body may hold. `source: "cron"` makes the answer 202 and the work go on in the background. */
  input: z.ZodType<Input>;
  /** Does the work and answers what was done. */
  run(input: Input, context: RequestContext): Promise<object>;
}

/** Named keys that may call: the schedule's own, and the project's default one. */
const AUTH = ["secret:monitor", "secret"] as const;

const asyncSource = z.looseObject({ source: z.literal("cron") });

/**
 * Serves a function: POST only, authenticated by a secret key in the `apikey` header, a JSON object as body.
 * Answers carry `x-request-id`, which the logs carry too.
 */
export function serveFunction<Input>(
  definition: FunctionDefinition<Input>,
): { fetch(request: Request): Promise<Response> } {
  const authenticated = withSupabase(
    { auth: [...AUTH], cors: false },
    (request) => respond(definition, request),
  );
  return {
    async fetch(incoming) {
      const requestId = requestIdOf(incoming);
      const request = new Request(incoming, {
        headers: withHeader(incoming.headers, "x-request-id", requestId),
      });
      const response = request.method === "POST"
        ? await authenticated(request).then((answer) =>
          answer.status === 401 ? unauthorizedResponse(requestId) : answer
        )
        : errorResponse(
          new AppError("method_not_allowed", `Use POST to call "${definition.name}"`),
          requestId,
        );
      const headers = withHeader(response.headers, "x-request-id", requestId);
      return new Response(response.body, { status: response.status, headers });
    },
  };
}

async function respond<Input>(definition: FunctionDefinition<Input>, request: Request): Promise<Response> {
  const requestId = request.headers.get("x-request-id") ?? "";
  const log = createLog({ function: definition.name, request_id: requestId });
  try {
    const body = await readBody(request);
    const input = definition.input.safeParse(body);
    if (!input.success) throw badRequest(definition.name, input.error);
    const work = async () => ({
      ok: true,
      request_id: requestId,
      ...await definition.run(input.data, { requestId, log }),
    });
    if (asyncSource.safeParse(body).success) {
      // pg_net sends nothing more until its slowest request ends, so cron is answered at once
      inBackground(work().then(() => {}, (error) => log.error("request failed", failureFields(error))));
      return Response.json({ ok: true, accepted: true, request_id: requestId }, { status: 202 });
    }
    return Response.json(await work());
  } catch (error) {
    if (!(error instanceof AppError && error.code === "bad_request")) {
      log.error("request failed", failureFields(error));
    }
    return errorResponse(error, requestId);
  }
}

function badRequest(name: string, error: z.ZodError): AppError {
  const faults = error.issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`);
  return new AppError("bad_request", `Cannot call "${name}": ${faults.join("; ")}`, { faults });
}
