/** A report as plain text: what a mail carries beside its HTML, and what the command line prints. */
import type { Report, ReportCell, ReportColumn, ReportSection } from "../domain/report.ts";
import { barText } from "./report_words.ts";
import { cut, formatUtc } from "./text.ts";

const SIGNS = { critical: "!!!", important: "!!", low: "!", info: "-" } as const;

/** How much of a report is shown: rows a section, actions, characters of a cell. */
export interface ReportCuts {
  rows: number;
  actions: number;
  cell: number;
}

/** Writes a report, a line a row. */
export function reportText(report: Report, cuts: ReportCuts): string {
  const parts = [
    report.title,
    report.headline,
    ["What to do", ...actionLines(report, cuts)].join("\n"),
    ...report.sections.map((section) =>
      [
        section.title,
        ...sectionLines(section, cutsOf(section, cuts)).map((line) => `- ${line}`),
        ...moreLine(report, section, cutsOf(section, cuts)),
      ]
        .join("\n")
    ),
    footerOf(report),
  ];
  return parts.join("\n\n");
}

/** The numbers of a mail belong together, and are few and short: all of them or none. */
export function cutsOf({ title, rows }: ReportSection, cuts: ReportCuts): ReportCuts {
  return title === "Numbers" ? { ...cuts, rows: rows.length } : cuts;
}

/** Where it comes from and what shows all of it. */
export function footerOf({ at, command }: Report): string {
  return `As of ${formatUtc(at)} · all of it: ${command} · Supabase Job Monitor`;
}

/** A line an action, and what was left out. */
export function actionLines({ actions, command }: Report, { actions: limit }: ReportCuts): string[] {
  if (actions.length === 0) return ["- Nothing: all is quiet."];
  const lines = actions.slice(0, limit).map(({ severity, text }) => `${SIGNS[severity]} ${text}`);
  return actions.length > limit ? [...lines, `${more(actions.length - limit)}: ${command}`] : lines;
}

/** A line a row. */
export function sectionLines({ columns, rows }: ReportSection, { rows: limit, cell }: ReportCuts): string[] {
  return rows.slice(0, limit).map((row) => lineOf(columns, row, cell));
}

/** `12 more: deno task monitor report daily`, or nothing. */
export function moreLine({ command }: Report, { count, rows }: ReportSection, cuts: ReportCuts): string[] {
  const left = count - Math.min(rows.length, cuts.rows);
  return left > 0 ? [`${more(left)}: ${command}`] : [];
}

function more(count: number): string {
  return `${count.toLocaleString("en-US")} more`;
}

/** `smoothed: ██████████ 99.95 % uptime, 1,234 runs`. */
function lineOf(
  columns: readonly ReportColumn[],
  [name, ...cells]: readonly ReportCell[],
  limit: number,
): string {
  const rest = cells.flatMap(({ text, bar }, index) => {
    const { before, after } = columns[index + 1] ?? {};
    if (text === "") return [];
    // 1 run, 2 runs
    const unit = text === "1" ? after?.replace(/s$/, "") : after;
    const shown = [before, bar === undefined ? undefined : barText(bar), cut(text, limit), unit];
    return [shown.filter((word) => word !== undefined).join(" ")];
  });
  const first = cut(name?.text ?? "", limit);
  return rest.length === 0 ? first : `${first}: ${rest.join(", ")}`;
}
