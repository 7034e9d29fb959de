/** Waiting for a condition instead of sleeping. */

/** How a wait ends. */
export interface WaitOptions {
  /** What is waited for, as the error says it; a function is asked at the deadline. */
  what: string | (() => string);
  /** Longest wait, in milliseconds. */
  withinMs: number;
  /** Pause between two looks, in milliseconds. Default 50. */
  everyMs?: number;
}

/** Looks until the condition gives something other than `undefined`, `null` or `false`; throws at the deadline. */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { what, withinMs, everyMs = 50 }: WaitOptions,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = Date.now() + withinMs;
  while (true) {
    const value = await condition();
    if (value !== undefined && value !== null && value !== false) {
      return value as Exclude<T, undefined | null | false>;
    }
    if (Date.now() >= deadline) {
      throw new Error(`Waited ${withinMs} ms in vain for ${typeof what === "string" ? what : what()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
