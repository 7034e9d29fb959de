/**
 * What a batch of a log drain costs: 10,000 events, gzipped, received by a hub in Postgres. CPU time of this process,
 * which generates nothing meanwhile, against the 2 seconds that an edge function has: `deno run -A bench/drain.ts`.
 */
import process from "node:process";
import { receiveDrain } from "../supabase/functions/receive-log-drain/run.ts";
import { drainedEvents, gzip } from "../tests/support/drain.ts";
import { startTestCluster, type TestDatabase, testDatabase } from "../tests/support/postgres.ts";

const EVENTS = 10_000;
const ROUNDS = 15;
/** What hosted Supabase allows a request. */
const CPU_LIMIT_MS = 2_000;

/** CPU milliseconds, user and system, of all threads of this process. */
async function cpuOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

async function receive(hub: TestDatabase, token: string, batch: Uint8Array<ArrayBuffer>): Promise<void> {
  const request = new Request("http://x/functions/v1/receive-log-drain", { method: "POST", body: batch });
  const answer = await receiveDrain(request, token, {
    hubProjectName: "thordata",
    now: Date.now(),
    withHub: (use) => use(hub.sql),
  });
  if (answer.counted !== EVENTS || answer.repeated) throw new Error(`Counted ${answer.counted} events`);
}

async function parseOnly(batch: Uint8Array<ArrayBuffer>): Promise<void> {
  const unpacked = new Blob([batch]).stream().pipeThrough(new DecompressionStream("gzip"));
  JSON.parse(await new Response(unpacked).text());
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

async function main(): Promise<void> {
  const { stop } = await startTestCluster();
  try {
    await using hub = await testDatabase("hub");
    const [row] = await hub.sql`select monitoring.create_report_token('smoothed', 'log_drain') as token`;
    const cold: number[] = [];
    const warm: number[] = [];
    const floor: number[] = [];
    let sizes = "";
    for (let round = 0; round < ROUNDS; round++) {
      const text = JSON.stringify(drainedEvents({ count: EVENTS, from: Date.now() - 300_000 }));
      const batch = await gzip(text);
      sizes = `${(text.length / 1e6).toFixed(1)} MB, ${(batch.length / 1e6).toFixed(1)} MB gzipped`;
      const cpu = await cpuOf(() => receive(hub, row?.["token"], batch));
      (round === 0 ? cold : warm).push(cpu);
      floor.push(await cpuOf(() => parseOnly(batch)));
    }
    const share = (cpu: number) =>
      `${Math.round(cpu)} ms CPU, ${(100 * cpu / CPU_LIMIT_MS).toFixed(0)} % of 2 s`;
    say(`A batch of ${EVENTS.toLocaleString("en-US")} events (${sizes})`);
    say(`  first, cold             ${share(median(cold))}`);
    say(`  median of ${ROUNDS - 1} more       ${share(median(warm))}`);
    say(`  slowest of them         ${share(Math.max(...warm))}`);
    say(`  to unpacking + parsing  ${(median(warm) / median(floor)).toFixed(2)} : 1`);
  } finally {
    await stop();
  }
}

function say(line: string): void {
  // deno-lint-ignore no-console
  console.log(line);
}

if (import.meta.main) await main();
