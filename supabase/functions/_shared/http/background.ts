/** Work that outlives the response: the edge runtime keeps the function alive for it. */

declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void } | undefined;

/** Hands work to the runtime. Where there is none (a script, a test) it simply goes on. */
export function inBackground(work: Promise<void>): void {
  if (typeof EdgeRuntime !== "undefined") EdgeRuntime.waitUntil(work);
}
