/**
 * Kills the process that sends alerts, again and again, at every step, while the network and the vendors fail at random;
 * then counts what arrived: `deno run -A bench/crashes.ts [kills at each step] [seed]`. Ends with 1 where an alert is lost, arrives
 * twice without a reason, or comes out of order.
 */
import { channels } from "../supabase/functions/_shared/channels/mod.ts";
import type { ChannelName } from "../supabase/functions/_shared/domain/delivery.ts";
import { type CrashReport, playCrashes } from "../tests/support/crash_world.ts";
import { STEPS } from "../tests/support/crashing_sender.ts";
import { FAULTS } from "../tests/support/faulty_network.ts";
import { startTestCluster } from "../tests/support/postgres.ts";

async function main(): Promise<number> {
  const [killsAStep = 30, seed = 1] = Deno.args.map(Number);
  const { stop } = await startTestCluster(say);
  try {
    say(`Killing ${killsAStep} senders at each of ${STEPS.length} steps (seed ${seed}) …`);
    const report = await playCrashes({
      ...{ killsAStep, seed, faults: 0.3, refused: 0.05, report: say },
      channels: Object.keys(channels) as ChannelName[],
    });
    print(report);
    return report.lost.length === 0 && report.violations.length === 0 ? 0 : 1;
  } finally {
    await stop();
  }
}

function print(report: CrashReport): void {
  table("Kills", STEPS.map((step) => [step, report.kills[step] ?? 0]));
  table("Faults", [...FAULTS, "refused"].map((fault) => [fault, report.faults[fault] ?? 0]));
  table("Duplicates", Object.entries(report.duplicates).sort());
  table("Alerts owed", [
    ["arrived", report.arrived],
    ["over before anybody was told, cancelled", report.overtaken],
    ["lost", report.lost.length],
  ]);
  table("Deliveries in the end", Object.entries(report.states).sort());
  say(`
${report.requests} requests, of which the vendors took ${report.messages}, ${
    sum(Object.values(report.duplicates))
  } of them again.
Lost: ${report.lost.length}. Without an explanation, out of order, or sent by two at once: ${report.violations.length}.`);
  for (const line of [...report.lost, ...report.violations].slice(0, 20)) say(`  ${line}`);
}

/** Rows that are parts of a whole get their sum. */
function table(title: string, rows: readonly (readonly [string, number])[]): void {
  say(
    `\n${title}${" ".repeat(Math.max(1, 60 - title.length))}${
      String(sum(rows.map(([, count]) => count))).padStart(6)
    }`,
  );
  for (const [name, count] of rows) say(`  ${name.padEnd(58)}${String(count).padStart(6)}`);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function say(line: string): void {
  // deno-lint-ignore no-console
  console.log(line);
}

Deno.exit(await main());
