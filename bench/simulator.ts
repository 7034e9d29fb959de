/**
 * Lets the rules watch simulated projects and holds every word of theirs against the truth:
 * `deno run -A bench/simulator.ts [months] [years] [first seed]`. Exits with 1 if a single finding is left.
 */
import { planOf } from "../tests/simulator/plans.ts";
import { type Score, simulate } from "../tests/simulator/simulate.ts";
import { INJECTION_KINDS } from "../tests/simulator/injections.ts";

const encoder = new TextEncoder();

function print(text: string): void {
  Deno.stdout.writeSync(encoder.encode(`${text}\n`));
}

/** Columns of text. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>(
    (most, row) => row.map((cell, index) => Math.max(most[index] ?? 0, cell.length)),
    [],
  );
  return rows.map((row) => row.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join("  ").trimEnd())
    .join("\n");
}

function sum(scores: readonly Score[], of: (score: Score) => number): string {
  return scores.reduce((total, score) => total + of(score), 0).toLocaleString("en");
}

function merged(scores: readonly Score[], of: (score: Score) => ReadonlyMap<string, number>) {
  const counts = new Map<string, number>();
  for (const score of scores) {
    for (const [what, count] of of(score)) counts.set(what, (counts.get(what) ?? 0) + count);
  }
  return counts;
}

function inWords(counts: ReadonlyMap<string, number>): string {
  const all = [...counts].sort(([, a], [, b]) => b - a).map(([what, count]) =>
    `${what} ${count.toLocaleString("en")}`
  );
  return all.length === 0 ? "none" : all.join(", ");
}

function percentiles(values: readonly number[]): string {
  if (values.length === 0) return "–";
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
  return [0.5, 0.95, 1].map((part) => `${(at(part) / 60_000).toFixed(0)}`).join(" / ");
}

function faultTable(scores: readonly Score[]): string {
  const unobservable = merged(scores, (score) => score.unobservable);
  const rows = INJECTION_KINDS.map((kind) => {
    const faults = scores.flatMap((score) => score.faults.filter((one) => one.kind === kind));
    const latencies = scores.flatMap((score) => score.latencies.get(kind) ?? []);
    return [
      kind,
      `${faults.filter(({ toldAt }) => toldAt !== null).length} of ${faults.length}`,
      String(unobservable.get(kind) ?? 0),
      percentiles(latencies.flatMap(({ sinceKnowable }) => sinceKnowable)),
      percentiles(latencies.flatMap(({ sinceBegin }) => sinceBegin)),
    ];
  });
  const head = [
    "fault",
    "found",
    "not observable",
    "minutes after knowable: p50 / p95 / max",
    "after it began",
  ];
  return columns([head, ...rows]);
}

function report(scores: readonly Score[], worlds: string): string {
  const days = scores.reduce((total, score) => total + score.days, 0);
  const findings = scores.flatMap((score) => score.findings);
  return [
    columns([
      ["worlds", worlds],
      [
        "simulated",
        `${(days / 365).toFixed(1)} years, ${
          sum(scores, (score) => score.clockChanges)
        } changes of the wall clock`,
      ],
      ["jobs' runs", sum(scores, (score) => score.runs)],
      [
        "looks",
        `${sum(scores, (score) => score.looks)}, of which ${
          sum(scores, (score) => score.unread)
        } could not read`,
      ],
      ["incidents opened", inWords(merged(scores, (score) => score.alarms))],
      ["incidents ended", sum(scores, (score) => score.endings)],
    ]),
    "",
    faultTable(scores),
    "",
    `what else happened: ${inWords(merged(scores, (score) => score.events))}`,
    `misses that no fact could have told from an edit, excused: ${
      inWords(merged(scores, (score) => score.unknowable))
    }`,
    "",
    findings.length === 0
      ? "no false alarm, no false recovery, nothing missed, nothing told late"
      : `${findings.length} findings`,
  ].join("\n");
}

const [months = 12, years = 6, first = 1] = Deno.args.map(Number);
const plans = [
  ...Array.from({ length: months }, (_, index) => planOf("month", first + index)),
  ...Array.from({ length: years }, (_, index) => planOf("year", first + index)),
];
const scores: Score[] = [];
for (const plan of plans) {
  const score = simulate(plan);
  scores.push(score);
  for (const { at, kind, what } of score.findings) {
    print(
      `seed ${plan.seed} (${plan.days} days, ${plan.timeZone}), ${
        new Date(at).toISOString()
      }: ${kind}: ${what}`,
    );
  }
}
print(
  report(
    scores,
    `${months} months with every kind of job, ${years} years with rare ones, from seed ${first}`,
  ),
);
if (scores.some((score) => score.findings.length > 0)) Deno.exit(1);
