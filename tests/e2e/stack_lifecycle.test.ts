/** The stack begins and ends as a person or an accident has it, and leaves nothing behind. */
import assert from "node:assert/strict";
import process from "node:process";
import {
  assertNothingLeft,
  beginStart,
  runScript,
  startStack,
  waitUntilUp,
  withStackPlace,
} from "../support/stack.ts";
import { waitFor } from "../support/wait_for.ts";

Deno.test("start --once --json does it all, prints one summary, and leaves nothing; a second time finds it all again", async () => {
  await withStackPlace(async (place) => {
    const once = (...more: string[]) =>
      runScript("start", ["--once", "--json", "--root-dir", place.rootDir, ...more], place.env);

    const first = await once();
    assert.equal(first.code, 0, first.stderr);
    const summary = JSON.parse(first.stdout);
    assert.equal(first.stdout.trim().split("\n").length, 1);
    assert.equal(summary.projects.length, 4);
    const { jobs, healthy, failed, missed, unknown, paused } = summary;
    assert.equal(healthy + failed + missed + unknown + paused, jobs);
    assert.deepEqual([failed, missed, paused], [1, 1, 1]);
    assert.deepEqual([summary.incidents, summary.alerts_delivered, summary.alerts.length], [2, 2, 2]);
    assert.equal(summary.started_in_ms > 0, true);
    await assertNothingLeft(place);

    const second = JSON.parse((await once("--history")).stdout);
    assert.equal(second.jobs, jobs, "demo jobs are not created twice");
    assert.deepEqual([second.incidents, second.alerts_delivered], [2, 0], "what was told is not told again");
    await assertNothingLeft(place);

    const third = JSON.parse((await once("--history")).stdout);
    assert.equal(third.jobs, jobs, "a made-up job is none that is checked");
    assert.ok(third.incidents > 2, "what is open in the made-up past is there");
    assert.equal(third.alerts_delivered, 0, "and nobody is told of it");
    await assertNothingLeft(place);
  });
});

Deno.test("a killed stack leaves no function, and stop ends its servers", async () => {
  await withStackPlace(async (place) => {
    const { child, ended, info } = await startStack(place);
    child.kill("SIGKILL");
    await ended;
    await waitFor(async () => !(await place.processes()).some((line) => line.includes("function_host")), {
      what: "the functions to end",
      withinMs: 60_000,
    });
    assert.equal(
      await fetch(info.gateway_url).then((response) => response.status, () => "refused"),
      "refused",
    );

    const stop = await runScript("stop", ["--root-dir", place.rootDir]);
    assert.equal(stop.code, 0, stop.stdout);
    assert.match(stop.stdout, /server thordata/);
    await assertNothingLeft(place);

    const again = await runScript("stop", ["--root-dir", place.rootDir]);
    assert.deepEqual([again.code, again.stdout.trim()], [0, "No stack is running."]);
  });
});

Deno.test("a start cleans up after a killed stack by itself, and stop ends a running one", async () => {
  await withStackPlace(async (place) => {
    const killed = await startStack(place, ["--no-demo"]);
    killed.child.kill("SIGKILL");
    await killed.ended;

    const { printed, ended } = await startStack(place, ["--no-demo"]);
    assert.match(printed(), /The last stack was killed; ended server/);
    const stop = await runScript("stop", ["--root-dir", place.rootDir]);
    assert.equal(stop.code, 0, stop.stdout);
    assert.equal(await ended, 0);
    await assertNothingLeft(place);
  });
});

Deno.test("an interrupted start ends what it had begun", async () => {
  await withStackPlace(async (place) => {
    const start = beginStart(place);
    await waitFor(() => /Four servers/.test(start.printed()), {
      what: "the servers to be up",
      withinMs: 60_000,
    });
    start.child.kill("SIGTERM");
    assert.equal(await start.ended, 130, start.printed());
    await assertNothingLeft(place);
  });
});

Deno.test("Ctrl-C while starting, which reaches every program of the stack, is no fault of any of them", async () => {
  await withStackPlace(async (place) => {
    const start = beginStart(place, ["--no-demo"], "group");
    await waitFor(() => /Packages of the functions/.test(start.printed()), {
      what: "the servers to be starting",
      withinMs: 60_000,
    });
    process.kill(-start.child.pid, "SIGINT");
    assert.equal(await start.ended, 130, start.printed());
    assert.match(start.printed(), /Interrupted while starting; nothing is left running/);
    assert.doesNotMatch(start.printed(), /Cannot/);
    await assertNothingLeft(place);
  });
});

Deno.test("a stack ends when what launched it is killed", async () => {
  await withStackPlace(async (place) => {
    const start = beginStart(place, ["--no-demo"], "shell");
    await waitUntilUp(start);
    start.child.kill("SIGKILL");
    await assertNothingLeft(place);
    await start.ended;
  });
});

Deno.test("start refuses what it does not know, and says where help is", async () => {
  const unknown = await runScript("start", ["--onec"]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /--onec[\s\S]*--help/);
  const badPort = await runScript("start", ["--port-base", "99999"]);
  assert.equal(badPort.code, 2);
  assert.match(badPort.stderr, /port/);
  const noSecrets = await runScript("start", ["--secrets", "/nowhere/.env"]);
  assert.equal(noSecrets.code, 2);
  assert.match(noSecrets.stderr, /Cannot read the secrets of "\/nowhere\/.env": there is no such file/);
  const help = await runScript("start", ["--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--once[\s\S]*--history/);
});
