/** What the stack shows at a terminal: steps as they end, tables, alerts. The only place that prints. */

/** What can be printed on. */
export interface Screen {
  readonly paint: Paint;
  /** Characters a line has. */
  readonly width: number;
  /** Prints lines as they are. */
  print(text?: string): void;
  /** Prints one dimmed line of detail. */
  detail(text: string): void;
  warn(text: string): void;
  error(text: string): void;
  /** Shows work in progress, then one line with how long it took. Steps may overlap. */
  step<T>(label: string, work: () => Promise<T>, tell?: (result: T) => string): Promise<T>;
}

/** Colours a text where colours are wanted. */
export type Paint = Record<keyof typeof STYLES, (text: string) => string>;

/** SGR codes. */
const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36 } as const;

const SPINNER = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const SPIN_MS = 100;
/** Off a terminal, a step says that it has begun only when it takes long. */
const SLOW_STEP_MS = 3_000;
const WIDEST = 110;

/**
 * A screen on standard output, or on standard error where standard output is for a machine.
 *
 * Colours and movement only on a terminal; `NO_COLOR` (https://no-color.org) takes the colours.
 */
export function createScreen(stream: "stdout" | "stderr"): Screen {
  const target = Deno[stream];
  const terminal = target.isTerminal();
  const colours = terminal && (Deno.env.get("NO_COLOR") ?? "") === "";
  const write = (text: string) => {
    try {
      writeAll(target, new TextEncoder().encode(text));
    } catch {
      // Nobody reads any more (`| head`, a closed terminal): that must not keep the stack from ending well.
    }
  };
  const paint = createPaint(colours);
  const status = terminal ? createStatusLine(write, paint) : undefined;
  const print = (text = "") => {
    status?.clear();
    write(`${text}\n`);
  };
  return {
    paint,
    width: Math.min(terminal ? columns() : WIDEST, WIDEST),
    print,
    detail: (text) => print(paint.dim(`  ${text}`)),
    warn: (text) => print(`${paint.yellow("!")} ${text}`),
    error: (text) => print(`${paint.red("✗")} ${text.replaceAll("\n", "\n  ")}`),
    step: (label, work, tell) => runStep({ print, paint, status }, label, work, tell),
  };
}

interface StepContext {
  print(text: string): void;
  paint: Paint;
  status: StatusLine | undefined;
}

async function runStep<T>(
  { print, paint, status }: StepContext,
  label: string,
  work: () => Promise<T>,
  tell?: (result: T) => string,
): Promise<T> {
  const began = performance.now();
  const slow = status === undefined
    ? setTimeout(() => print(`${paint.dim("…")} ${label}`), SLOW_STEP_MS)
    : undefined;
  status?.add(label);
  try {
    const result = await work();
    status?.remove(label);
    const told = tell?.(result) ?? "";
    const took = paint.dim(`${((performance.now() - began) / 1000).toFixed(1)} s`);
    print(`${paint.green("✓")} ${label}${told === "" ? "" : ` ${paint.dim("·")} ${told}`} ${took}`);
    return result;
  } catch (error) {
    status?.remove(label);
    print(`${paint.red("✗")} ${label}`);
    throw error;
  } finally {
    clearTimeout(slow);
  }
}

interface StatusLine {
  add(label: string): void;
  remove(label: string): void;
  clear(): void;
}

/** One moving line below everything printed, naming what is going on. */
function createStatusLine(write: (text: string) => void, paint: Paint): StatusLine {
  const labels = new Set<string>();
  let timer: ReturnType<typeof setInterval> | undefined;
  let frame = 0;
  let shown = false;
  const clear = () => {
    if (shown) write("\r\x1b[2K");
    shown = false;
  };
  const draw = () => {
    const text = [...labels].join(", ").slice(0, columns() - 4);
    write(`\r\x1b[2K${paint.cyan(SPINNER[frame++ % SPINNER.length] ?? "")} ${text}`);
    shown = true;
  };
  return {
    clear,
    add: (label) => {
      labels.add(label);
      timer ??= setInterval(draw, SPIN_MS);
    },
    remove: (label) => {
      labels.delete(label);
      clear();
      if (labels.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    },
  };
}

/** A column of a table. */
export interface Column {
  title: string;
  align: "left" | "right";
}

/** A cell: its text, and how it is painted once it has its width. */
export interface Cell {
  text: string;
  paint?: (text: string) => string;
}

/** Lines of an aligned table, the titles dimmed. */
export function tableLines(paint: Paint, columns: readonly Column[], rows: readonly Cell[][]): string[] {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => row[index]?.text.length ?? 0))
  );
  const pad = (text: string, index: number) =>
    columns[index]?.align === "right" ? text.padStart(widths[index] ?? 0) : text.padEnd(widths[index] ?? 0);
  const line = (cells: readonly Cell[]) =>
    cells.map((cell, index) => (cell.paint ?? same)(pad(cell.text, index))).join("  ").trimEnd();
  return [line(columns.map(({ title }) => ({ text: title, paint: paint.dim }))), ...rows.map(line)];
}

/** Breaks a text at blanks so that no line is longer, keeping its own line ends. */
export function wrap(text: string, width: number): string[] {
  return text.split("\n").flatMap((line) => {
    const lines: string[] = [];
    let current = "";
    for (const word of line.split(" ")) {
      if (current !== "" && current.length + 1 + word.length > width) {
        lines.push(current);
        current = word;
      } else current = current === "" ? word : `${current} ${word}`;
    }
    return [...lines, current];
  });
}

function createPaint(colours: boolean): Paint {
  const style = (code: number) => (text: string) =>
    colours && text !== "" ? `\x1b[${code}m${text}\x1b[0m` : text;
  return Object.fromEntries(Object.entries(STYLES).map(([name, code]) => [name, style(code)])) as Paint;
}

function columns(): number {
  try {
    return Math.max(Deno.consoleSize().columns, 40);
  } catch {
    // Some terminals (a build server's) have no size.
    return WIDEST;
  }
}

function writeAll(target: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += target.writeSync(bytes.subarray(written));
}

function same(text: string): string {
  return text;
}
