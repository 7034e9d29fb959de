// deno-lint-ignore-file no-console -- a printer
/** Lets the rules watch simulated projects for years: `deno run -A bench/simulator.ts [worlds] [days] [first seed]`. */
import { EVERY_JOB, SPARSE_JOBS } from "../tests/simulator/jobs.ts";
import { simulate } from "../tests/simulator/simulate.ts";
import { ROUGH_YEAR } from "../tests/simulator/weather.ts";
const [worlds = 3, days = 30, first = 1] = Deno.args.map(Number);
const from = Date.UTC(2027, 2, 1);
for (let i = 0; i < worlds; i++) {
  const t = performance.now();
  const timeZone = ["GMT", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"][(first + i) % 4]!;
  const score = simulate({
    seed: first + i,
    from,
    days,
    timeZone,
    specs: days > 100 ? SPARSE_JOBS : EVERY_JOB,
    climate: ROUGH_YEAR,
    lookEvery: 15,
  });
  console.log(
    score.seed,
    timeZone,
    "looks",
    score.looks,
    "runs",
    score.runs,
    "alarms",
    score.alarms,
    "faults",
    score.faults.length,
    "unobs",
    score.unobservable,
    "unknowable",
    [...score.unknowable],
    ((performance.now() - t) / 1000).toFixed(1) + "s",
  );
  for (const f of score.findings) {
    console.log("  ", new Date(f.at).toISOString(), f.kind, f.what.slice(0, 300));
  }
}
