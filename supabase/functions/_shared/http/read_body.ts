/** The body of a request as a JSON object, bounded. */
import { AppError } from "../errors.ts";

/** Bytes that a request may have: ours have a few hundred. */
const BODY_LIMIT = 64 * 1024;

/**
 * Reads a JSON object; no body at all is an empty one.
 *
 * @throws {AppError} `bad_request` where it is too long, not UTF-8, not JSON or not an object.
 */
export async function readBody(request: Request): Promise<unknown> {
  const bytes = await readBounded(request);
  const refuse = (why: string) =>
    new AppError("bad_request", `Cannot read the body: ${why}`, { faults: [`body: ${why}`] });
  if (bytes === null) throw refuse(`it has more than ${BODY_LIMIT} bytes`);
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

async function readBounded(request: Request): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > BODY_LIMIT) return null;
    chunks.push(chunk);
  }
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}
