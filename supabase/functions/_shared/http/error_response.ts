/** What a caller sees of an error: a status, a stable code, one sentence, every fault. Never a stack or a secret. */
import { AppError, describeError, type ErrorCode } from "../errors.ts";

const STATUS: Partial<Record<ErrorCode, number>> = {
  bad_request: 400,
  unauthorized: 401,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  too_large: 413,
  hub_unreachable: 503,
};

/**
 * The answer to a request that failed.
 *
 * @param allow The method that is served.
 */
export function errorResponse(error: unknown, requestId: string, allow: "GET" | "POST" = "POST"): Response {
  const { code, message } = describeError(error);
  const faults = error instanceof AppError && error.faults.length > 0 ? { faults: error.faults } : {};
  return Response.json(
    { ok: false, request_id: requestId, error: { code, message, ...faults } },
    { status: STATUS[code] ?? 500, headers: code === "method_not_allowed" ? { allow } : {} },
  );
}

/** The answer to a caller whose key is missing or wrong; which keys exist is nobody's business. */
export function unauthorizedResponse(requestId: string): Response {
  const message = 'Send a secret key of this project in the "apikey" header';
  return errorResponse(new AppError("unauthorized", message), requestId);
}
