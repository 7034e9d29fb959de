/** The body of a request as a JSON object, bounded. */
import { AppError } from "../errors.ts";
import { readBytes } from "./read_bytes.ts";

/** Bytes that a request may have: ours have a few hundred. */
const BODY_LIMIT = 64 * 1024;

/**
 * Reads a JSON object; no body at all is an empty one.
 *
 * @param limit Bytes that it may have.
 * @throws {AppError} `bad_request` where it is too long, not UTF-8, not JSON or not an object.
 */
export async function readBody(request: Request, limit = BODY_LIMIT): Promise<unknown> {
  const bytes = await readBytes(request.body, limit);
  const refuse = (why: string) =>
    new AppError("bad_request", `Cannot read the body: ${why}`, { faults: [`body: ${why}`] });
  if (bytes === null) throw refuse(`it has more than ${limit} bytes`);
  let body: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    body = text.trim() === "" ? {} : JSON.parse(text);
  } catch {
    throw refuse("it is not JSON");
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw refuse("it is not a JSON object");
  }
  return body;
}
