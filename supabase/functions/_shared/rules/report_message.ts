/** A report as a message, for channels that have no form of their own for one: they cut and escape it as any alert. */
import type { Message, MessageField } from "../domain/delivery.ts";
import type { Report, ReportSection } from "../domain/report.ts";
import { actionLines, footerOf, moreLine, type ReportCuts, sectionLines } from "./report_text.ts";

const CUTS: ReportCuts = { rows: 4, actions: 5, cell: 60 };
/** Characters of a field: less than the least that a channel gives one. */
const FIELD_LIMIT = 360;

/** Actions first, then a field a section, as many lines of each as are not cut in the middle. */
export function reportMessage(report: Report): Message {
  return {
    event: "report",
    severity: report.severity,
    title: report.title,
    cause: report.headline,
    fields: [...actionFields(report), ...report.sections.map((section) => sectionField(report, section))],
    excerpt: null,
    strip: null,
    links: [],
    footer: footerOf(report),
    incidentIds: [],
    at: report.at,
  };
}

/** Over as many fields as they need: what to do is what the report is for. */
function actionFields(report: Report): MessageField[] {
  const [first = "", ...rest] = actionLines(report, CUTS);
  const values = [first];
  for (const line of rest) {
    const longer = `${values.at(-1)}\n${line}`;
    if (longer.length <= FIELD_LIMIT) values.splice(-1, 1, longer);
    else values.push(line);
  }
  return values.map((value, index) => ({ label: index === 0 ? "What to do" : "Then", value }));
}

function sectionField(report: Report, section: ReportSection): MessageField {
  for (let rows = section.title === "Numbers" ? section.rows.length : CUTS.rows; rows > 1; rows--) {
    const value = linesOf(report, section, { ...CUTS, rows });
    if (value.length <= FIELD_LIMIT) return { label: section.title, value };
  }
  return { label: section.title, value: linesOf(report, section, { ...CUTS, rows: 1 }) };
}

function linesOf(report: Report, section: ReportSection, cuts: ReportCuts): string {
  return [...sectionLines(section, cuts), ...moreLine(report, section, cuts)].join("\n");
}
