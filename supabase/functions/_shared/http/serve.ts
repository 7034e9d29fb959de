/** From a request to validated input to a Response: what every function's `index.ts` serves. */
import { withSupabase } from "@supabase/server";
import { z } from "zod";
import { AppError, isCallersFault } from "../errors.ts";
import { createLog, failureFields, type Log } from "../log.ts";
import { errorResponse, unauthorizedResponse } from "./error_response.ts";
import { readBody } from "./read_body.ts";
import { inBackground } from "./background.ts";
import { requestIdOf, withHeader } from "./request_id.ts";
import { reportingLog } from "./error_reports.ts";

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
export function serveFunction<Input>(definition: FunctionDefinition<Input>): Served {
  return withKey(definition.name, "POST", (request) => respond(definition, request));
}

/** What only shows something, as it is served. */
export interface ReadingDefinition<Input> {
  /** As in the URL. */
  name: string;
  /** What the URL's parameters may be. */
  input: z.ZodType<Input>;
  /** Reads and answers. */
  run(input: Input, context: RequestContext & { headers: Headers }): Promise<Response>;
}

/** Serves what only shows something: as {@link serveFunction}, but GET, with its input in the URL. */
export function serveReading<Input>({ name, input, run }: ReadingDefinition<Input>): Served {
  return withKey(name, "GET", async (request) => {
    const requestId = request.headers.get("x-request-id") ?? "";
    const log = reportingLog(createLog({ function: name, request_id: requestId }), name);
    try {
      const given = input.safeParse(Object.fromEntries(new URL(request.url).searchParams));
      if (!given.success) throw badRequest(name, given.error);
      return await run(given.data, { requestId, log, headers: request.headers });
    } catch (error) {
      if (!isCallersFault(error)) {
        log.error("request failed", failureFields(error));
      }
      return errorResponse(error, requestId);
    }
  });
}

/** What the runtime calls. */
export interface Served {
  fetch(request: Request): Promise<Response>;
}

function withKey(
  name: string,
  method: "GET" | "POST",
  answer: (request: Request) => Promise<Response>,
): Served {
  const authenticated = withSupabase({ auth: [...AUTH], cors: false }, answer);
  return {
    async fetch(incoming) {
      const requestId = requestIdOf(incoming);
      const request = new Request(incoming, {
        headers: withHeader(incoming.headers, "x-request-id", requestId),
      });
      const response = request.method === method
        ? await authenticated(request).then((response) =>
          response.status === 401 ? unauthorizedResponse(requestId) : response
        )
        : errorResponse(
          new AppError("method_not_allowed", `Use ${method} to call "${name}"`),
          requestId,
          method,
        );
      const headers = withHeader(response.headers, "x-request-id", requestId);
      return new Response(response.body, { status: response.status, headers });
    },
  };
}

async function respond<Input>(definition: FunctionDefinition<Input>, request: Request): Promise<Response> {
  const requestId = request.headers.get("x-request-id") ?? "";
  const log = reportingLog(createLog({ function: definition.name, request_id: requestId }), definition.name);
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
    if (!isCallersFault(error)) {
      log.error("request failed", failureFields(error));
    }
    return errorResponse(error, requestId);
  }
}

function badRequest(name: string, error: z.ZodError): AppError {
  const faults = error.issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`);
  return new AppError("bad_request", `Cannot call "${name}": ${faults.join("; ")}`, { faults });
}
