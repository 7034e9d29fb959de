/**
 * `deno task test`: the quick gate, then every test. On a fresh machine it installs what the tests need (Postgres with
 * pg_cron, as root on Debian). Ends with one line `N passed, N failed`. With names, only those suites:
 * `deno task test unit integration e2e`.
 */
import { startTestCluster } from "../tests/support/postgres.ts";
import { removeAbandonedStacks } from "../tests/support/stack.ts";

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

/**
 * Test files at a time. Integration and e2e tests also wait: for full minutes, for servers, for one another's answers.
 * More lanes than processors let them wait side by side.
 */
const LANES: Record<Suite, number> = { unit: 2, integration: 4, e2e: 3 };

/** Longer than the suite takes on two slow processors: past it a test hangs, and hanging is failing. */
const LIMIT_MS: Record<Suite, number> = { unit: 4 * 60_000, integration: 8 * 60_000, e2e: 8 * 60_000 };

/** Test files that take longest, mostly by waiting for the next minutes of pg_cron. */
const LONGEST = [
  ...["live_pg_cron.test.ts", "verdicts.test.ts", "secrets.test.ts", "alert_policy.test.ts"],
  ...["stack.test.ts", "http_calls.test.ts", "readme.test.ts", "stack_lifecycle.test.ts"],
];

/** What is told again at the very end of a suite's failures: enough for a dozen of them. */
const FAILURES_LENGTH = 20_000;

interface Totals {
  passed: number;
  failed: number;
  /** The runner's own account of what failed, or nothing. */
  failures: string;
}

async function main(): Promise<number> {
  const wanted = readSuites(Deno.args);
  if (wanted === null) return 2;
  for (const step of Deno.args.length === 0 ? GATE : []) {
    say(`deno ${step.join(" ")}`);
    const { code } = await new Deno.Command(Deno.execPath(), { args: [...step] }).output().then(show);
    if (code !== 0) return 1;
  }
  const totals: Totals = { passed: 0, failed: 0, failures: "" };
  for (const suite of wanted) {
    const result = await runSuite(suite);
    totals.passed += result.passed;
    totals.failed += result.failed;
    totals.failures += result.failures;
  }
  // A suite's failures scroll away under the next one's lines, and who reads a log begins at its end.
  if (totals.failures !== "") say(`\nWhat failed\n${totals.failures}`);
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
  const cluster = suite === "unit" ? null : await startTestCluster(say);
  try {
    return await runTests(suite);
  } finally {
    await cluster?.stop();
    if (suite === "e2e") await removeAbandonedStacks();
  }
}

/** Types were checked by the gate. */
async function runTests(suite: Suite): Promise<Totals> {
  const args = ["test", "-A", "--no-check", "--parallel", ...await filesOf(suite)];
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: { DENO_JOBS: String(Math.max(LANES[suite], navigator.hardwareConcurrency)) },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const hanging = setTimeout(() => {
    say(`The ${suite} tests take longer than ${LIMIT_MS[suite] / 60_000} minutes: stopped`);
    child.kill("SIGTERM");
  }, LIMIT_MS[suite]);
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

/** In the order in which they start: what waits for full minutes first, so that the others fill that time. */
async function filesOf(suite: Suite): Promise<string[]> {
  const dir = `tests/${suite}`;
  const entries = await Array.fromAsync(Deno.readDir(dir));
  const names = entries.filter(({ name, isDirectory }) => isDirectory || name.endsWith(".test.ts"))
    .map(({ name }) => name);
  const first = (name: string) => LONGEST.includes(name) ? LONGEST.indexOf(name) : LONGEST.length;
  return names.toSorted((a, b) => first(a) - first(b) || a.localeCompare(b)).map((name) => `${dir}/${name}`);
}

/** Reads the runner's closing line; a run that broke before it had one counts as a failure. */
function countTests(output: string, success: boolean): Totals {
  // deno-lint-ignore no-control-regex
  const plain = output.replace(/\u001b\[[0-9;]*m/g, "");
  const closing = [...plain.matchAll(/(\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed/g)].at(-1);
  const passed = Number(closing?.[1] ?? 0);
  const failed = Number(closing?.[2] ?? 0);
  if (success) return { passed, failed, failures: "" };
  const account = plain.lastIndexOf("\n ERRORS \n");
  const failures = account < 0
    ? plain.slice(-FAILURES_LENGTH)
    : plain.slice(account, account + FAILURES_LENGTH);
  return { passed, failed: Math.max(1, failed), failures };
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
