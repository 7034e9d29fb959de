/** Which errors are the same: the first line of a message with everything folded that differs from run to run. */
import type { FailureGroup } from "../domain/report.ts";
import { redact } from "./redact.ts";
import { clean, cut } from "./text.ts";

/** Characters of a message that are looked at, and of a fingerprint. */
const LOOKED_AT = 500;
const LIMIT = 160;
const NO_MESSAGE = "(no message)";

/** What is folded, in this order. Every quantifier is bounded, so that the time stays linear in the text. */
const FOLDS: readonly [pattern: RegExp, sign: string][] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, "<id>"],
  [
    /\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?(?: ?(?:Z|UTC)\b|[+-]\d\d:?(?:\d\d)?)?/g,
    "<time>",
  ],
  [/\b\d{1,2}:\d\d(?::\d\d(?:\.\d{1,9})?)?\b/g, "<time>"],
  [/(\bhttps?:\/\/[^\s?#"'<>]{1,300})[?#][^\s"'<>]{0,300}/gi, "$1"],
  [/[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}/g, "<address>"],
  // an apostrophe within a word opens no quotation: can't open user's file
  [
    /"[^"\n]{0,300}"|(?<![A-Za-z0-9])'[^'\n]{0,300}'|`[^`\n]{0,300}`|“[^”\n]{0,300}”|«[^»\n]{0,300}»/g,
    "<value>",
  ],
  // Postgres: Key (user_id, day)=(42, 2026-11-20) already exists
  [/=\([^()\n]{0,300}\)/g, "=(<value>)"],
  // ids in hexadecimal: marked as such, or eight or more with a digit among them
  [/\b0x[0-9a-f]{1,64}\b/gi, "<id>"],
  [/\b(?=[a-f]{0,63}\d)[0-9a-f]{8,64}\b/gi, "<id>"],
  // what is left of numbers, also in names: batch_17, 0.25, 1,204; but an HTTP status says what is wrong
  [/(?<!\d)(?!(?<=\b(?:answered|got|http|status)[ :=]{1,2})[1-5]\d\d\b)\d+(?:[.,]\d+){0,6}/gi, "<n>"],
];

/**
 * The fingerprint of an error: secrets out, then ids, times, addresses, quoted values and numbers folded. The same for
 * messages that differ in nothing else; readable, up to 160 characters.
 */
export function fingerprint(message: string): string {
  const text = clean(redact(message.slice(0, LOOKED_AT)));
  const line = text.split("\n").map((one) => one.replace(/\s+/g, " ").trim()).find((one) => one !== "");
  if (line === undefined) return NO_MESSAGE;
  return cut(FOLDS.reduce((folded, [pattern, sign]) => folded.replace(pattern, sign), line), LIMIT);
}

/** Failures with one fingerprint. */
export interface ErrorGroup {
  fingerprint: string;
  /** `project/job`, most failures first. */
  jobs: { project: string; job: string; count: number }[];
  /** Within the period, and within the one before. */
  count: number;
  before: number;
  /** Epoch milliseconds. */
  firstAt: number;
  lastAt: number;
}

/** What {@link groupErrors} may split by. */
export type ErrorGrouping = "fingerprint" | "fingerprint and job";

/** Failures by fingerprint, or by that and job; those with most failures first, then the latest. */
export function groupErrors(
  failures: readonly FailureGroup[],
  by: ErrorGrouping = "fingerprint",
): ErrorGroup[] {
  const groups = Map.groupBy(failures, ({ project, job, message }) => {
    const error = fingerprint(message);
    return by === "fingerprint" ? error : JSON.stringify([error, project, job]);
  });
  return [...groups.values()].map(groupOf).sort((a, b) => b.count - a.count || b.lastAt - a.lastAt);
}

function groupOf(failures: FailureGroup[]): ErrorGroup {
  const sum = (of: (failure: FailureGroup) => number) =>
    failures.reduce((total, failure) => total + of(failure), 0);
  const byJob = Map.groupBy(failures, ({ project, job }) => JSON.stringify([project, job]));
  const jobs = [...byJob.values()].flatMap((own) => {
    const [first] = own;
    if (first === undefined) return [];
    return [{
      project: first.project,
      job: first.job,
      count: own.reduce((total, one) => total + one.count, 0),
    }];
  });
  return {
    fingerprint: fingerprint(failures[0]?.message ?? ""),
    jobs: jobs.sort((a, b) => b.count - a.count),
    count: sum(({ count }) => count),
    before: sum(({ before }) => before),
    firstAt: Math.min(...failures.map(({ firstAt }) => firstAt)),
    lastAt: Math.max(...failures.map(({ lastAt }) => lastAt)),
  };
}
