/**
 * A report as a mail: HTML of tables, inline styles and bars of text, which is what mail clients show alike, and a plain
 * text twin. No image, no SVG, no style sheet: clients strip or block them.
 */
import type { Report, ReportCell, ReportSection, Tone } from "../domain/report.ts";
import { barText } from "./report_words.ts";
import { cutsOf, footerOf, moreLine, type ReportCuts, reportText } from "./report_text.ts";
import { cut, oneLine } from "./text.ts";

/** A mail without its addresses. */
export interface ReportMail {
  subject: string;
  html: string;
  text: string;
}

/** UTF-8 bytes: Gmail cuts a mail off at 102 kB. */
const HTML_LIMIT = 95_000;
const TEXT_LIMIT = 60_000;
const SUBJECT_LIMIT = 200;
/** Characters of a value that stays on one line. */
const NEVER_BROKEN = 20;
/** From so many columns on, those of numbers leave names too little to be read. */
const MANY_COLUMNS = 6;
/** From all that is known to what fits whatever the names are. */
const CUTS: readonly ReportCuts[] = [
  { rows: 12, actions: 15, cell: 200 },
  { rows: 8, actions: 10, cell: 120 },
  { rows: 5, actions: 8, cell: 80 },
  { rows: 3, actions: 5, cell: 50 },
  { rows: 1, actions: 3, cell: 30 },
];

const FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const TABLE = 'role="presentation" cellpadding="0" cellspacing="0" border="0"';
const COLOURS: Readonly<Record<Tone, string>> = {
  good: "#067647",
  warn: "#b54708",
  bad: "#b42318",
  plain: "#101828",
};
const SEVERITIES = {
  critical: { colour: "#d92d20", sign: "🔴" },
  important: { colour: "#f38744", sign: "🟠" },
  low: { colour: "#eac54f", sign: "🟡" },
  info: { colour: "#12b76a", sign: "🟢" },
} as const;

/** A sign for how a report is: red, orange, yellow; green where there is nothing to do. */
export function reportSign({ severity }: Report): string {
  return SEVERITIES[severity].sign;
}

/** Writes a mail; nothing in it is markup but ours. */
export function reportMail(report: Report): ReportMail {
  const subject = cut(`${reportSign(report)} ${report.title}: ${oneLine(report.headline)}`, SUBJECT_LIMIT);
  return {
    subject,
    html: firstThatFits((cuts) => reportHtml(report, cuts), HTML_LIMIT),
    text: firstThatFits((cuts) => reportText(report, cuts), TEXT_LIMIT),
  };
}

/** With as much as fits; the last is small whatever it is of. */
function firstThatFits(render: (cuts: ReportCuts) => string, limit: number): string {
  const [smallest] = CUTS.slice(-1);
  const fitting = CUTS.slice(0, -1).map(render).find((text) => bytes(text) <= limit);
  return fitting ?? (smallest === undefined ? "" : render(smallest));
}

function reportHtml(report: Report, cuts: ReportCuts): string {
  const { colour } = SEVERITIES[report.severity];
  const rows = [
    row(
      `${reportSign(report)} ${escape(report.title)}`,
      "padding:20px 24px 0;font-size:20px;line-height:28px;font-weight:600;color:#101828",
    ),
    row(escape(report.headline), "padding:6px 24px 0;font-size:15px;line-height:22px;color:#344054"),
    heading("What to do"),
    actionRows(report, cuts),
    ...report.sections.flatMap((section) => sectionRows(report, section, cuts)),
    row(escape(footerOf(report)), "padding:20px 24px;font-size:12px;line-height:18px;color:#667085"),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${
    escape(report.title)
  }</title></head>
<body style="margin:0;padding:0;background-color:#f2f4f7">
<div style="display:none;max-height:0;overflow:hidden">${escape(cut(report.headline, 300))}</div>
<table ${TABLE} width="100%" style="background-color:#f2f4f7"><tr><td align="center" style="padding:16px 8px">
<table ${TABLE} width="720" style="width:100%;max-width:720px;background-color:#ffffff;border-top:4px solid ${colour}">
${rows.join("\n")}
</table>
</td></tr></table>
</body></html>
`;
}

function row(html: string, style: string): string {
  return `<tr><td style="${FONT};${style}">${html}</td></tr>`;
}

function heading(title: string): string {
  return row(
    escape(title),
    "padding:22px 24px 4px;font-size:15px;line-height:22px;font-weight:600;color:#101828",
  );
}

function actionRows({ actions, command }: Report, { actions: limit, cell }: ReportCuts): string {
  if (actions.length === 0) {
    return row("Nothing: all is quiet.", "padding:0 24px;font-size:14px;line-height:20px;color:#067647");
  }
  const rows = actions.slice(0, limit).map(({ severity, text }) =>
    `<tr><td width="24" style="padding:3px 0;vertical-align:top">${
      SEVERITIES[severity].sign
    }</td><td style="padding:3px 0;color:#101828;word-break:break-word">${
      escape(cut(text, 3 * cell))
    }</td></tr>`
  );
  const left = actions.length - limit;
  if (left > 0) {
    rows.push(`<tr><td></td><td style="color:#667085">${left} more: ${escape(command)}</td></tr>`);
  }
  return inner(rows, "font-size:14px;line-height:20px");
}

function inner(rows: readonly string[], style: string): string {
  return `<tr><td style="padding:0 24px"><table ${TABLE} width="100%" style="${FONT};${style}">\n${
    rows.join("\n")
  }\n</table></td></tr>`;
}

function sectionRows(report: Report, section: ReportSection, allCuts: ReportCuts): string[] {
  const cuts = cutsOf(section, allCuts);
  const titled = section.columns.some(({ title }) => title !== "");
  const wide = section.columns.length >= MANY_COLUMNS;
  const head = section.columns.map(({ title, align }, index) =>
    `<td${align === "right" ? ' align="right"' : ""}${
      wide && index === 0 ? ' width="30%"' : ""
    } style="padding:2px 0 2px ${index === 0 ? 0 : 10}px;font-size:11px;color:#667085">${escape(title)}</td>`
  );
  const rows = [
    ...titled ? [`<tr>${head.join("")}</tr>`] : [],
    ...section.rows.slice(0, cuts.rows).map((cells) =>
      `<tr>${cells.map((cell, index) => cellHtml(section, cell, index, cuts)).join("")}</tr>`
    ),
  ];
  const more = moreLine(report, section, cuts).map((line) =>
    row(escape(line), "padding:4px 24px 0;font-size:12px;line-height:18px;color:#667085")
  );
  const note = section.note === undefined
    ? []
    : [row(escape(section.note), "padding:0 24px;font-size:12px;line-height:18px;color:#667085")];
  return [
    heading(section.title),
    ...note,
    inner(rows, "font-size:13px;line-height:18px;color:#101828"),
    ...more,
  ];
}

function cellHtml(
  { columns }: ReportSection,
  { text, tone = "plain", bar }: ReportCell,
  index: number,
  { cell: limit }: ReportCuts,
): string {
  const right = columns[index]?.align === "right" ? ' align="right"' : "";
  const style = [
    `padding:3px 0 3px ${index === 0 ? 0 : 10}px;border-top:1px solid #eaecf0;vertical-align:top`,
    // a number is not broken, a name may be
    index > 0 && text.length <= NEVER_BROKEN ? "white-space:nowrap" : "word-break:break-word",
    ...tone === "plain" ? [] : [`color:${COLOURS[tone]}`],
  ];
  const shown = `${bar === undefined ? "" : `${barText(bar)} `}${escape(cut(text, limit))}`;
  return `<td${right} style="${style.join(";")}">${shown}</td>`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  )
    .replaceAll("'", "&#39;");
}

function bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
