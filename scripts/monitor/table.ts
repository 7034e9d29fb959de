/** Tables that fit the terminal: untrusted text made safe, cut by what it takes on the screen, then coloured. */
import stringWidth from "string-width";
import { getBorderCharacters, table } from "table";
import { oneLine } from "../../supabase/functions/_shared/rules/text.ts";
import type { Paint } from "../local/screen.ts";
import type { Terminal } from "./terminal.ts";

/** A column. */
export interface Column {
  title: string;
  align?: "left" | "right";
  /** How far it may be cut where the line is too long; without it, never. */
  narrowest?: number;
}

/** A cell: its text, which may be anything, and its colour. */
export interface Cell {
  text: string;
  /** Says the same where the line would be too long. */
  short?: string;
  paint?: Paint[keyof Paint];
}

/** Characters between two columns. */
const GAP = 2;

/** Lines of a table, titles dimmed. Columns in which every cell is empty are left out. */
export function tableLines(
  { paint, width }: Pick<Terminal, "paint" | "width">,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
): string[] {
  const safe = rows.map((row) => row.map((cell) => ({ ...cell, text: oneLine(cell.text) })));
  const used = columns.flatMap((column, index) =>
    safe.some((row) => (row[index]?.text ?? "") !== "") ? [{ column, index }] : []
  );
  if (used.length === 0) return [];
  const head: Cell[] = used.map(({ column }) => ({ text: column.title, paint: paint.dim }));
  const whole: Cell[][] = [head, ...safe.map((row) => used.map(({ index }) => row[index] ?? { text: "" }))];
  const lines = sum(naturalWidths(whole)) > width ? shortened(whole) : whole;
  const widths = fittingWidths(used.map(({ column }) => column), lines, width);
  return table(
    lines.map((line) => line.map(({ text, paint: colour }, at) => shown(text, widths[at] ?? 0, colour))),
    {
      border: getBorderCharacters("void"),
      drawHorizontalLine: () => false,
      columnDefault: { paddingLeft: 0, paddingRight: GAP },
      columns: used.map(({ column }) => ({ alignment: column.align ?? "left" })),
    },
  ).split("\n").slice(0, -1).map((line) => line.trimEnd());
}

function shown(text: string, width: number, paint: Cell["paint"]): string {
  const cut = cutToWidth(text, width);
  return paint === undefined ? cut : paint(cut);
}

function shortened(lines: readonly Cell[][]): Cell[][] {
  return lines.map((line) => line.map((cell) => ({ ...cell, text: cell.short ?? cell.text })));
}

function naturalWidths(lines: readonly (readonly Cell[])[]): number[] {
  const [head = []] = lines;
  return head.map((_, at) => Math.max(...lines.map((line) => stringWidth(line[at]?.text ?? ""))));
}

/** Of a whole line. */
function sum(widths: readonly number[]): number {
  return widths.reduce((total, one) => total + one, 0) + GAP * (widths.length - 1);
}

/** What each column takes, the widest of those that may be cut narrowed until the line fits, or nothing gives. */
function fittingWidths(
  columns: readonly Column[],
  lines: readonly (readonly Cell[])[],
  width: number,
): number[] {
  const widths = naturalWidths(lines);
  while (sum(widths) > width) {
    const room = columns.map(({ narrowest }, at) =>
      (widths[at] ?? 0) > (narrowest ?? Infinity) ? widths[at] ?? 0 : 0
    );
    const widest = Math.max(...room);
    if (widest === 0) break;
    widths[room.indexOf(widest)] = widest - 1;
  }
  return widths;
}

/** The beginning of a text that takes at most `width` columns, with `…` where something is missing. */
export function cutToWidth(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  let kept = "";
  let taken = 0;
  for (const { segment } of new Intl.Segmenter("en", { granularity: "grapheme" }).segment(text)) {
    taken += stringWidth(segment);
    if (taken > width - 1) break;
    kept += segment;
  }
  return `${kept.trimEnd()}…`;
}
