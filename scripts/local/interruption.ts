/** How a stack learns that it shall end: signals, a launcher that is gone, and errors that nobody awaited. */
import { isProcessUp, listProcesses, parentOf } from "./processes.ts";

/** Ctrl-C, `deno task stop`, the terminal was closed, or what launched us was killed. */
export class Interrupted extends Error {
  constructor() {
    super("Interrupted");
    this.name = "Interrupted";
  }
}

/** A catch that lasts until `dispose`. */
export interface Interruption {
  /** Aborted with the reason, an {@link Interrupted} where it was a signal. */
  readonly signal: AbortSignal;
  /** Rejects with the reason. */
  readonly forever: Promise<never>;
  dispose(): void;
}

/**
 * Turns signals into an abort. A second Ctrl-C changes nothing, since npx and the shell may send it twice. An error that
 * nobody awaited ends the stack the same way, instead of ending the process and leaving the servers.
 */
export function catchInterruption(): Interruption {
  const controller = new AbortController();
  const forever = Promise.withResolvers<never>();
  forever.promise.catch(() => {});
  const end = (reason: unknown) => {
    controller.abort(reason);
    forever.reject(reason);
  };
  const interrupt = () => end(new Interrupted());
  const unawaited = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    end(event.reason);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, interrupt);
  globalThis.addEventListener("unhandledrejection", unawaited);
  const watch = watchLaunchers(interrupt);
  return {
    signal: controller.signal,
    forever: forever.promise,
    dispose: () => {
      for (const signal of signals) Deno.removeSignalListener(signal, interrupt);
      globalThis.removeEventListener("unhandledrejection", unawaited);
      clearInterval(watch);
    },
  };
}

/** How often launchers are looked at, in milliseconds. */
const WATCH_MS = 1_000;

/** npx ends on SIGTERM without a word to what it runs, so `timeout 60 npx …` would leave the stack behind. */
function watchLaunchers(gone: () => void): ReturnType<typeof setInterval> {
  const launchers = findLaunchers();
  return setInterval(async () => {
    const up = await Promise.all((await launchers).map(isProcessUp));
    if (up.includes(false)) gone();
  }, WATCH_MS);
}

/** The processes between the user's shell and this one: `deno task`, what npx runs, npx itself. */
async function findLaunchers(): Promise<number[]> {
  const processes = await listProcesses();
  const launchers: number[] = [];
  for (let pid = await parentOf(Deno.pid); pid !== undefined; pid = await parentOf(pid)) {
    const line = processes.find((entry) => entry.pid === pid)?.args.join(" ") ?? "";
    if (!/\bdeno\b.*\b(task|run)\b.*\bstart\b/.test(line)) break;
    launchers.push(pid);
  }
  return launchers;
}
