/** Where a command prints: results on standard output, everything else on standard error. */
import { createScreen, type Paint } from "../local/screen.ts";

/** One of the two streams. */
export interface Terminal {
  /** Colours only on a terminal, and not with `NO_COLOR` (https://no-color.org). */
  readonly paint: Paint;
  /** Characters of a line; `Infinity` off a terminal, where nothing is to be cut. */
  readonly width: number;
  /** Whether what is printed can be taken back. */
  readonly isTerminal: boolean;
  /** Prints lines as they are. */
  print(text?: string): void;
  /** Prints without a line end. */
  write(text: string): void;
}

/** Narrower terminals get lines of this width. */
const NARROWEST = 60;

/** The process's own stream. A closed pipe (`| head`) is no error. */
export function openTerminal(stream: "stdout" | "stderr"): Terminal {
  const target = Deno[stream];
  const isTerminal = target.isTerminal();
  const screen = createScreen(stream);
  return {
    paint: screen.paint,
    width: isTerminal ? columns() : Infinity,
    isTerminal,
    print: (text = "") => screen.print(text),
    write: (text) => void target.writeSync(new TextEncoder().encode(text)),
  };
}

function columns(): number {
  try {
    return Math.max(Deno.consoleSize().columns, NARROWEST);
  } catch {
    return Infinity;
  }
}

/** Shows on standard error what takes longer than a second, and takes it back when it is over. */
export interface Progress {
  <T>(label: string, work: () => Promise<T>): Promise<T>;
}

const SHOW_AFTER_MS = 1_000;
const SPIN_MS = 100;
const SPINNER = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/** A moving line with the seconds on a terminal; elsewhere one line that says what is going on. */
export function createProgress(terminal: Terminal, showAfterMs = SHOW_AFTER_MS): Progress {
  return async (label, work) => {
    const began = performance.now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let shown = false;
    const draw = (frame: number) => {
      const seconds = Math.floor((performance.now() - began) / 1000);
      const text = `${label} ${terminal.paint.dim(`${seconds} s`)}`;
      terminal.write(`\r\x1b[2K${terminal.paint.cyan(SPINNER[frame % SPINNER.length] ?? "")} ${text}`);
      shown = true;
      timer = setTimeout(() => draw(frame + 1), SPIN_MS);
    };
    timer = setTimeout(() => terminal.isTerminal ? draw(0) : terminal.print(`… ${label}`), showAfterMs);
    try {
      return await work();
    } finally {
      clearTimeout(timer);
      if (shown) terminal.write("\r\x1b[2K");
    }
  };
}
