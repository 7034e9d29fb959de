/** The body of a request as a JSON object, bounded. */
import { AppError } from "../errors.ts";

/** Bytes that a request may have: ours have a few hundred. */
const BODY_LIMIT = 64 * 1024;

/**
 * Reads a JSON object; no body at all is an empty one.
 *
 * @throws {AppError} `too_large`; `bad_request` where it is not UTF-8, not JSON or not an object.
 */
export async function readBody(request: Request): Promise<unknown> {
  return parseBody(await readBytes(request, BODY_LIMIT));
}

/**
 * Reads a body of at most so many bytes.
 *
 * @throws {AppError} `too_large` where it is longer.
 */
export async function readBytes(request: Request, limit: number): Promise<ArrayBuffer> {
  const bytes = await readBounded(request, limit);
  if (bytes === null) {
    throw new AppError("too_large", `Cannot read the body: it has more than ${limit} bytes`);
  }
  return bytes;
}

/**
 * The JSON object that a body holds; no body at all is an empty one.
 *
 * @throws {AppError} `bad_request` where it is not UTF-8, not JSON or not an object.
 */
export function parseBody(bytes: ArrayBuffer): unknown {
  let body: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    body = text.trim() === "" ? {} : JSON.parse(text);
  } catch {
    throw refusal("it is not JSON");
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw refusal("it is not a JSON object");
  }
  return body;
}

function refusal(why: string): AppError {
  return new AppError("bad_request", `Cannot read the body: ${why}`, { faults: [`body: ${why}`] });
}

async function readBounded(request: Request, limit: number): Promise<ArrayBuffer | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > limit) return null;
    chunks.push(chunk);
  }
  const buffer = new ArrayBuffer(size);
  const whole = new Uint8Array(buffer);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return buffer;
}
