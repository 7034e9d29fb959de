/**
 * `deno task test`: the quick gate, then every test. On a fresh machine it installs what the tests need (Postgres with
 * pg_cron, as root on Debian). Ends with one line `N passed, N failed`. With names, only those suites:
 * `deno task test unit integration e2e`.
 */
import { startTestCluster } from "../tests/support/postgres.ts";

/** Suites in the order in which they run: what needs least comes first. */
const SUITES = ["unit", "integration", "e2e"] as const;
type Suite = typeof SUITES[number];

/** What has to hold before any test is worth running. */
const GATE: readonly (readonly string[])[] = [
  ["fmt", "--check"],
  ["lint"],
  ["task", "check"],
  ["task", "layers"],
];

/** Longer than any suite takes on two slow processors: past it a test hangs, and hanging is failing. */
const SUITE_LIMIT_MS = 6 * 60_000;

interface Totals {
  passed: number;
  failed: number;
}

async function main(): Promise<number> {
  const wanted = readSuites(Deno.args);
  if (wanted === null) return 2;
  for (const step of Deno.args.length === 0 ? GATE : []) {
    say(`deno ${step.join(" ")}`);
    const { code } = await new Deno.Command(Deno.execPath(), { args: [...step] }).output().then(show);
    if (code !== 0) return 1;
  }
  const totals: Totals = { passed: 0, failed: 0 };
  for (const suite of wanted) {
    const result = await runSuite(suite);
    totals.passed += result.passed;
    totals.failed += result.failed;
  }
  say(`${totals.passed} passed, ${totals.failed} failed`);
  return totals.failed > 0 || totals.passed === 0 ? 1 : 0;
}

function readSuites(names: readonly string[]): readonly Suite[] | null {
  const unknown = names.filter((name) => !SUITES.some((suite) => suite === name));
  if (unknown.length === 0) return SUITES.filter((suite) => names.length === 0 || names.includes(suite));
  say(`Unknown suite "${unknown.join('", "')}"; there are: ${SUITES.join(", ")}`);
  return null;
}

async function runSuite(suite: Suite): Promise<Totals> {
  say(`\n${suite} tests`);
  const cluster = suite === "integration" ? await startTestCluster(say) : null;
  try {
    return await runTests(suite);
  } finally {
    await cluster?.stop();
  }
}

/** Types were checked by the gate. The e2e suite shares ports and processors, so its files run one by one. */
async function runTests(suite: Suite): Promise<Totals> {
  const args = ["test", "-A", "--no-check", ...(suite === "e2e" ? [] : ["--parallel"]), `tests/${suite}`];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped", stderr: "inherit" }).spawn();
  const hanging = setTimeout(() => {
    say(`The ${suite} tests take longer than ${SUITE_LIMIT_MS / 60_000} minutes: stopped`);
    child.kill("SIGTERM");
  }, SUITE_LIMIT_MS);
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    await Deno.stdout.write(chunk);
    output += decoder.decode(chunk, { stream: true });
  }
  const { success } = await child.status;
  clearTimeout(hanging);
  return countTests(output, success);
}

/** Reads the runner's closing line; a run that broke before it had one counts as a failure. */
function countTests(output: string, success: boolean): Totals {
  // deno-lint-ignore no-control-regex
  const plain = output.replace(/\u001b\[[0-9;]*m/g, "");
  const closing = [...plain.matchAll(/(\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed/g)].at(-1);
  const passed = Number(closing?.[1] ?? 0);
  const failed = Number(closing?.[2] ?? 0);
  return { passed, failed: success ? failed : Math.max(1, failed) };
}

async function show(result: Deno.CommandOutput): Promise<Deno.CommandOutput> {
  if (result.success) return result;
  await Deno.stdout.write(result.stdout);
  await Deno.stderr.write(result.stderr);
  return result;
}

function say(line: string): void {
  // deno-lint-ignore no-console
  console.log(line);
}

Deno.exit(await main());
