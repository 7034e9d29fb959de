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
    fields: [actionField(report), ...report.sections.map((section) => sectionField(report, section))],
    excerpt: null,
    strip: null,
    links: [],
    footer: footerOf(report),
    incidentIds: [],
    at: report.at,
  };
}

function actionField(report: Report): MessageField {
  for (let actions = CUTS.actions; actions > 1; actions--) {
    const value = actionLines(report, { ...CUTS, actions }).join("\n");
    if (value.length <= FIELD_LIMIT) return { label: "What to do", value };
  }
  return { label: "What to do", value: actionLines(report, { ...CUTS, actions: 1 }).join("\n") };
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
