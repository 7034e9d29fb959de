/** Asks a health check's URL once. What the answer says is looked at and forgotten: it is nobody's to show. */
import { guardUrl } from "../channels/url_guard.ts";
import { HEALTH_CHECK_AGENT, type HealthAnswer } from "../domain/edge_function.ts";
import { AppError } from "../errors.ts";

/** Bytes of an answer in which text is looked for. */
const BODY_LIMIT = 65_536;

/** One question; it may hold secrets. */
export interface HealthRequest {
  url: string;
  header: { name: string; value: string } | null;
  /** Text that the answer has to contain; `null`: its body is not read. */
  contains: string | null;
  /** For connecting, sending and reading together. */
  timeoutMs: number;
}

/** How {@link askHealth} asks. */
export interface HealthOptions {
  /** `host:port` of private hosts that may be asked. */
  allowedHosts: readonly string[];
  fetch?: typeof fetch;
}

/**
 * Asks with GET, follows no redirect, and answers whatever came of it. Only public hosts are asked, by their names: a
 * public name that resolves to a private address is not noticed, which is why nothing of an answer is ever shown.
 */
export async function askHealth(request: HealthRequest, options: HealthOptions): Promise<HealthAnswer> {
  const { allowedHosts, fetch = globalThis.fetch } = options;
  let url: URL;
  try {
    url = guardUrl(request.url, allowedHosts);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { kind: "refused", reason: error.message };
  }
  const began = performance.now();
  try {
    const response = await fetch(url, {
      headers: {
        "user-agent": HEALTH_CHECK_AGENT,
        ...(request.header === null ? {} : { [request.header.name]: request.header.value }),
      },
      redirect: "manual",
      signal: AbortSignal.timeout(request.timeoutMs),
    });
    const bodyMatched = request.contains === null
      ? await response.body?.cancel().then(() => null) ?? null
      : await contains(response, request.contains);
    const latencyMs = performance.now() - began;
    return { kind: "answered", httpStatus: response.status, latencyMs, bodyMatched };
  } catch (error) {
    // the error's cause holds the URL, and so its secret
    return error instanceof DOMException && error.name === "TimeoutError"
      ? { kind: "timeout", timeoutMs: request.timeoutMs }
      : { kind: "unreachable" };
  }
}

async function contains(response: Response, wanted: string): Promise<boolean> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    text += decoder.decode(chunk, { stream: true });
    if (text.includes(wanted)) return true;
    if (bytes >= BODY_LIMIT) break;
  }
  return false;
}
