/** A report as Slack's blocks. Limits: Slack's Block Kit reference; the whole is kept to 10,000 characters. */
import type { Report } from "../domain/report.ts";
import { reportSign } from "./report_html.ts";
import { actionLines, footerOf, moreLine, type ReportCuts, sectionLines } from "./report_text.ts";
import { cut } from "./text.ts";

/** Characters as they stand in the JSON that is sent, escapes counted. */
const LIMITS = { text: 600, header: 150, section: 2_800, footer: 300 };
/** Characters of the whole request. */
const TOTAL_LIMIT = 10_000;
const BLOCKS = 50;
const CUTS: readonly ReportCuts[] = [
  { rows: 8, actions: 10, cell: 120 },
  { rows: 5, actions: 8, cell: 100 },
  { rows: 3, actions: 6, cell: 80 },
  { rows: 2, actions: 5, cell: 60 },
  { rows: 1, actions: 3, cell: 40 },
];

type Block = Record<string, unknown>;

/** Writes the request's body, with as much as fits. */
export function reportBlocks(report: Report): Record<string, unknown> {
  const bodies = CUTS.map((cuts) => bodyOf(report, cuts, report.sections.length));
  const fitting = bodies.find(fits);
  if (fitting !== undefined) return fitting;
  // whatever the names are: the least of each section, and as many sections as there is room for
  const [least] = CUTS.slice(-1);
  let sections = report.sections.length;
  let body = bodies.at(-1) ?? {};
  while (!fits(body) && sections > 0 && least !== undefined) body = bodyOf(report, least, --sections);
  return body;
}

function fits(body: Record<string, unknown>): boolean {
  const { blocks } = body;
  return JSON.stringify(body).length <= TOTAL_LIMIT && Array.isArray(blocks) && blocks.length <= BLOCKS;
}

function bodyOf(report: Report, cuts: ReportCuts, sections: number): Record<string, unknown> {
  const title = `${reportSign(report)} ${report.title}`;
  const left = report.sections.length - sections;
  const blocks: Block[] = [
    { type: "header", text: plain(title, LIMITS.header) },
    section(report.headline, 800),
    heading("What to do"),
    section(actionLines(report, cuts).map((line) => cut(line, 3 * cuts.cell)).join("\n"), LIMITS.section),
    ...report.sections.slice(0, sections).flatMap((one) => [
      heading(one.title),
      section(
        [...sectionLines(one, cuts).map((line) => `• ${line}`), ...moreLine(report, one, cuts)].join("\n"),
        LIMITS.section,
      ),
    ]),
    ...left > 0 ? [section(`${left} more sections: ${report.command}`, 200)] : [],
    { type: "context", elements: [plain(footerOf(report), LIMITS.footer)] },
  ];
  return { text: escape(cut(`${title}\n${report.headline}`, LIMITS.text, sizeInJson)), blocks };
}

/** Our own words, and the only markup. */
function heading(title: string): Block {
  return { type: "section", text: { type: "mrkdwn", text: `*${title}*` } };
}

function section(text: string, limit: number): Block {
  return { type: "section", text: plain(text, limit) };
}

/** Text in which no markup, mention or `:emoji:` has a meaning. */
function plain(text: string, limit: number): Block {
  return { type: "plain_text", text: escape(cut(text, limit, sizeInJson)), emoji: false };
}

/** Slack reads the three characters of its markup even where it shows plain text. */
function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function sizeInJson(text: string): number {
  return JSON.stringify(escape(text)).length - 2;
}
