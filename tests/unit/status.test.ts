/** What is shown of everything: nothing is well without evidence, and any name survives any format. */
import assert from "node:assert/strict";
import type { StatusView } from "../../supabase/functions/_shared/domain/status.ts";
import { badgeSvg, badgeWord } from "../../supabase/functions/_shared/rules/badge.ts";
import { prometheusText, reportStatus } from "../../supabase/functions/_shared/rules/status.ts";
import { answerStatus } from "../../supabase/functions/status/run.ts";
import { answerBadge } from "../../supabase/functions/badge/run.ts";
import { recordingLog } from "../support/functions.ts";
import { samplesOf } from "../support/exposition.ts";

const NOW = Date.UTC(2026, 10, 21, 12);
const MINUTE = 60_000;

function job(name: string, over: Partial<StatusView["jobs"][number]> = {}): StatusView["jobs"][number] {
  return {
    id: `id of ${name}`,
    ...{ project: "smoothed", type: "pg_cron", name, user: "postgres", criticality: "critical" },
    ...{ status: "healthy", verdict: null },
    lastRunAt: NOW - 10 * MINUTE,
    lastSuccessAt: NOW - 10 * MINUTE,
    lastRun: {
      ...{ runId: 7, status: "success" },
      startedAt: new Date(NOW - 10 * MINUTE).toISOString(),
      endedAt: new Date(NOW - 10 * MINUTE + 2_500).toISOString(),
    },
    ...over,
  };
}

function view(over: Partial<StatusView> = {}): StatusView {
  return {
    at: NOW,
    projects: [{ name: "smoothed", status: "ok", errorCode: null, readAt: NOW - 5 * MINUTE }],
    jobs: [job("sync_leads")],
    incidents: [],
    outbox: { due: 0, held: 0, unroutable: 0, oldestDueAt: null },
    deadChannels: 0,
    functions: [
      {
        name: "check-job-health",
        beganAt: NOW - 5 * MINUTE,
        status: "complete",
        completeAt: NOW - 5 * MINUTE,
      },
      { name: "send-alert", beganAt: NOW - MINUTE, status: "complete", completeAt: NOW - MINUTE },
    ],
    ...over,
  };
}

Deno.test("all is well where every job is, and each thing that is not is named", () => {
  assert.deepEqual([reportStatus(view()).healthy, reportStatus(view()).problems], [true, []]);
  const report = reportStatus(view({
    projects: [
      { name: "smoothed", status: "ok", errorCode: null, readAt: NOW - 5 * MINUTE },
      { name: "scraping", status: "error", errorCode: "unreachable", readAt: NOW - 60 * MINUTE },
    ],
    jobs: [job("a", { status: "failed", verdict: "failed" }), job("b", { status: "paused" })],
    outbox: { due: 1, held: 0, unroutable: 2, oldestDueAt: NOW - MINUTE },
    deadChannels: 1,
    functions: [{ name: "send-alert", beganAt: null, status: null, completeAt: null }],
  }));
  assert.equal(report.healthy, false);
  assert.deepEqual(report.problems, [
    "1 job is failed",
    "project scraping cannot be read: unreachable",
    "send-alert has not been complete for 10 minutes",
    "2 alerts have nowhere to go",
    "1 channel is dead",
  ]);
});

Deno.test("a job of a project that nobody has looked at for 45 minutes is unknown, not healthy", () => {
  const project = (
    readAt: number | null,
  ) => [{ name: "smoothed", status: "ok" as const, errorCode: null, readAt }];
  for (const readAt of [NOW - 46 * MINUTE, null]) {
    const stale = view({ projects: project(readAt) });
    assert.equal(reportStatus(stale).jobs[0]?.status, "unknown");
    assert.deepEqual(
      samplesOf(prometheusText(stale)).filter(({ name }) => name === "job_monitor_job_up"),
      [],
    );
  }
  const fresh = view({ projects: project(NOW - 44 * MINUTE) });
  assert.equal(reportStatus(fresh).jobs[0]?.status, "healthy");
});

Deno.test("Prometheus gets every number, and a hostile name is only a label", () => {
  const name = 'evil"} 1\n\\job_monitor_job_up{x="';
  const samples = samplesOf(prometheusText(view({ jobs: [job(name), job("off", { status: "paused" })] })));
  const of = (metric: string) => samples.filter((sample) => sample.name === `job_monitor_${metric}`);
  assert.deepEqual(of("job_up").map(({ labels, value }) => [labels["job_name"], value]), [[name, 1]]);
  assert.deepEqual(of("job_last_run_age_seconds").map(({ value }) => value), [600, 600]);
  assert.deepEqual(of("job_last_run_duration_seconds").map(({ value }) => value), [2.5, 2.5]);
  assert.deepEqual(of("job_status").map(({ labels }) => labels["status"]), ["healthy", "paused"]);
  assert.deepEqual(of("function_complete_age_seconds").map(({ value }) => value), [300, 60]);
});

Deno.test("the format is the one asked for, or what the caller accepts", async () => {
  const type = (format: "json" | "prometheus" | undefined, accept: string) =>
    answerStatus(view(), format === undefined ? {} : { format }, { accept, requestId: "r" }).headers.get(
      "content-type",
    ) ?? "";
  assert.match(type("prometheus", "application/json"), /^text\/plain; version=0\.0\.4/);
  assert.match(type("json", "text/plain"), /^application\/json/);
  assert.match(
    type(undefined, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
    /^text\/plain/,
  );
  // Prometheus with native histograms, which wants its binary format most
  const binary =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," +
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
  assert.match(type(undefined, binary), /^text\/plain/);
  for (
    const accept of ["*/*", "application/json, text/plain, */*", "text/html,application/xhtml+xml,*/*;q=0.8"]
  ) {
    assert.match(type(undefined, accept), /^application\/json/, accept);
  }
  assert.equal((await answerStatus(view(), {}, { accept: "", requestId: "r" }).json()).healthy, true);
});

Deno.test("a badge says the worst of what is known, and unknown where nothing is", () => {
  const facts = { label: "x", readable: true, readAt: NOW, states: ["healthy" as const] };
  assert.equal(badgeWord(facts, NOW), "healthy");
  assert.equal(badgeWord({ ...facts, states: ["healthy", "missed", "paused", "failed"] }, NOW), "failed");
  assert.equal(badgeWord({ ...facts, states: [] }, NOW), "unknown");
  assert.equal(badgeWord({ ...facts, readable: false }, NOW), "unknown");
  assert.equal(badgeWord({ ...facts, readAt: NOW - 46 * MINUTE }, NOW), "unknown");
});

Deno.test("a badge is one picture whatever the job is called", () => {
  const noXml = badgeSvg("a\ufffe\uffffb\u{1fffe}", "healthy");
  assert.match(noXml, /<title>ab\u{1fffe}: healthy/u);
  const svg = badgeSvg(`</text><script>alert("1")</script>&\u0000\ud800${"🚀".repeat(100)}`, "failed");
  assert.ok(!svg.includes("<script") && !svg.includes("\u0000"));
  assert.ok(svg.isWellFormed() && svg.length < 3_000);
  assert.match(svg, /aria-label="&lt;\/text&gt;/);
});

Deno.test("who does not know a badge's id learns nothing, and a broken hub is no picture", async () => {
  const deps = {
    read: (id: string) =>
      id.startsWith("0")
        ? Promise.resolve({ label: "a", readable: true, readAt: NOW, states: ["healthy" as const] })
        : id.startsWith("f")
        ? Promise.reject(new Error("secret"))
        : Promise.resolve(null),
    clock: () => new Date(NOW),
    log: recordingLog(),
  };
  const get = async (path: string, method = "GET") => {
    const response = await answerBadge(new Request(`http://x/badge/${path}`, { method }), deps);
    return [response.status, await response.text()] as const;
  };
  assert.match((await get(`${"0".repeat(32)}.svg`))[1], /^<svg .*healthy/);
  assert.deepEqual(await get(`${"a".repeat(32)}.svg`), [404, "not found"]);
  assert.deepEqual(await get("short.svg"), [404, "not found"]);
  assert.deepEqual(await get(`${"f".repeat(32)}.svg`), [503, "try again"]);
  assert.equal((await get(`${"0".repeat(32)}.svg`, "POST"))[0], 405);
});
