/** Calls the deployed functions as any program would: supabase-js, a secret key, `functions.invoke`. */
import { createClient, FunctionsFetchError, FunctionsHttpError } from "@supabase/supabase-js";
import { z } from "zod";
import { functionError, platformError } from "./answers.ts";
import type { Connection } from "./connection.ts";
import { MonitorError, type MonitorErrorCode } from "./errors.ts";

/** Longest wait for an answer, in milliseconds: more than the 150 s after which hosted Supabase gives up. */
const CALL_TIMEOUT_MS = 160_000;
/** Characters shown of an answer that nobody foresaw. */
const SHOWN_ANSWER = 300;

/** The functions that a person may call. */
export type FunctionName =
  | "discover-jobs"
  | "check-job-health"
  | "cron-healthcheck"
  | "send-alert"
  | "collect-metrics"
  | "send-report"
  | "export-runs";

/** Calls a function and checks what it answers. */
export type CallFunction = <T>(name: FunctionName, body: object, answer: z.ZodType<T>) => Promise<T>;

/**
 * Makes the caller of a connection's functions. It throws {@link MonitorError}: `unreachable`, `unauthorized`,
 * `not_found`, `invalid_value` or `function_failed`, with the function's own words.
 */
export function createFunctionCaller(connection: Connection): CallFunction {
  const client = createClient(connection.url, connection.secretKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
  return async (name, body, answer) => {
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    const { data, error } = await client.functions.invoke<unknown>(name, { body: { ...body }, signal });
    if (error !== null) throw await callError(connection, name, error, signal.aborted);
    const parsed = answer.safeParse(data);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const where = issue === undefined ? "" : ` (${issue.path.join(".") || "body"}: ${issue.message})`;
    throw new MonitorError("function_failed", `Cannot read the answer of "${name}"${where}`, {
      hints: ["Deploy the functions and use the command line of the same version"],
    });
  };
}

async function callError(
  connection: Connection,
  name: FunctionName,
  error: unknown,
  timedOut: boolean,
): Promise<MonitorError> {
  const origin = connection.origin.text;
  if (timedOut) {
    const seconds = CALL_TIMEOUT_MS / 1000;
    return new MonitorError("unreachable", `Cannot call "${name}": no answer within ${seconds} s`, {
      origin,
    });
  }
  if (error instanceof FunctionsHttpError) {
    const { status, text } = await textOf(error.context);
    // whoever answered may have quoted the request
    return refusal(name, status, text.replaceAll(connection.secretKey, "sb_secret_…"), origin);
  }
  const where = new URL(connection.url).origin;
  const why = error instanceof FunctionsFetchError ? networkFault(error.context) : "unexpected error";
  return new MonitorError("unreachable", `Cannot call "${name}" at ${where}: ${why}`, { origin });
}

/** The client hands over the response with its body unread. */
async function textOf(context: unknown): Promise<{ status: number; text: string }> {
  if (!(context instanceof Response)) return { status: 0, text: "" };
  return { status: context.status, text: await context.text().catch(() => "") };
}

const CODES: Readonly<Record<number, MonitorErrorCode>> = {
  400: "invalid_value",
  401: "unauthorized",
  404: "not_found",
};

/** What a 4xx or 5xx says, in the words of whoever answered. */
function refusal(name: FunctionName, status: number, text: string, origin: string): MonitorError {
  const body = jsonOf(text);
  const code = CODES[status] ?? "function_failed";
  const own = functionError.safeParse(body);
  const platform = platformError.safeParse(body);
  const requestId = own.data?.request_id;
  if (status === 401) {
    return new MonitorError("unauthorized", `Cannot call "${name}": the key is refused`, {
      hints: [KEY_HINT],
      origin,
      remoteCode: own.data?.error.code,
      requestId,
    });
  }
  if (own.success) {
    const { error, request_id } = own.data;
    const more = status >= 500 ? { origin, hints: [logHint(name, request_id)] } : {};
    return new MonitorError(code, error.message, { ...more, remoteCode: error.code, requestId });
  }
  if (status === 404) {
    return new MonitorError("not_found", `Cannot call "${name}": it is not deployed there`, {
      hints: ["Deploy the functions: supabase functions deploy --use-api"],
      origin,
    });
  }
  const said = platform.success
    ? platform.data.message
    : text.trim().slice(0, SHOWN_ANSWER) || "no reason given";
  return new MonitorError(code, `Cannot call "${name}": ${status}, ${said}`, {
    origin,
    remoteCode: platform.data?.code,
  });
}

const KEY_HINT = 'The key must be the project\'s secret key "default" or "monitor": sb_secret_…';

function logHint(name: FunctionName, requestId: string): string {
  return `The log of "${name}" has it under request id ${requestId}`;
}

/** Deno's own text holds the whole URL and tells little; its cause says what happened. */
function networkFault(context: unknown): string {
  const text = chainOf(context).join(" ");
  if (/refused/i.test(text)) return "connection refused; is it up?";
  if (/dns|lookup|resolve|ENOTFOUND/i.test(text)) return "the host name does not resolve";
  if (/certificate|UnknownIssuer/i.test(text)) return "its certificate is not trusted";
  return "the connection failed";
}

function chainOf(error: unknown): string[] {
  return error instanceof Error ? [error.message, ...chainOf(error.cause)] : [];
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
