/** Badges: one small picture that says how a project or a job is. */
import type { BadgeFacts } from "../domain/status.ts";
import { STALE_MS } from "./status.ts";
import { clean, cut } from "./text.ts";

/** What a badge says, the worst first. */
const WORDS = ["failed", "missed", "unknown", "healthy", "paused"] as const;
type Word = (typeof WORDS)[number];

const COLOURS: Readonly<Record<Word, string>> = {
  failed: "#c62828",
  missed: "#c75000",
  unknown: "#616161",
  healthy: "#2e7d32",
  paused: "#546e7a",
};

/** Characters of a label. */
const LABEL_LIMIT = 40;
/** Widths in pixels at 11 px: of most letters of a sans-serif font, and around a text. */
const LETTER = 6.6;
const PADDING = 12;

/** What a badge says: the worst of what is known; what was last looked at long ago is not known. */
export function badgeWord({ readable, readAt, states }: BadgeFacts, now: number): Word {
  const known = readable && (readAt === null ? states.length > 0 : now - readAt <= STALE_MS);
  if (!known) return "unknown";
  return WORDS.find((word) => states.includes(word)) ?? "unknown";
}

/** Draws a badge as SVG. */
export function badgeSvg(label: string, word: Word): string {
  // the last two that XML forbids in any form
  const name = cut(clean(label).replace(/[\ufffe\uffff]/g, ""), LABEL_LIMIT);
  const [left, right] = [widthOf(name), widthOf(word)];
  const title = escape(`${name}: ${word}`);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${
    left + right
  }" height="20" role="img" aria-label="${title}">` +
    `<title>${title}</title>` +
    `<clipPath id="r"><rect width="${left + right}" height="20" rx="3"/></clipPath>` +
    `<g clip-path="url(#r)"><rect width="${left}" height="20" fill="#37474f"/>` +
    `<rect x="${left}" width="${right}" height="20" fill="${COLOURS[word]}"/></g>` +
    `<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">` +
    `<text x="${left / 2}" y="14">${escape(name)}</text>` +
    `<text x="${left + right / 2}" y="14">${word}</text></g></svg>\n`;
}

function widthOf(text: string): number {
  return Math.round([...text].length * LETTER + PADDING);
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  );
}
