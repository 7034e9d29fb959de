/** Builders of incidents and messages for tests: every test names only what it is about. */
import type { AlertRoute, Message } from "../../supabase/functions/_shared/domain/delivery.ts";
import type { Incident, IncidentJob } from "../../supabase/functions/_shared/domain/incident.ts";
import type { RecentRun } from "../../supabase/functions/_shared/domain/run.ts";

/** When the alerts of the tests are written. */
export const NOW = new Date("2026-11-21T12:47:12Z");

/** A row of `alert_config` that takes everything, as the defaults have it. */
export function alertRow(id: string, over: Partial<AlertRoute> = {}): AlertRoute {
  return {
    id,
    name: null,
    channel: "discord",
    criticality: "all",
    enabled: true,
    projectName: null,
    minSeverity: null,
    events: ["opened", "reminder", "resolved"],
    quietFrom: null,
    quietUntil: null,
    quietTimeZone: "UTC",
    repeatMinutes: 360,
    escalationMinutes: null,
    onlyEscalations: false,
    priority: 100,
    targetKey: id,
    dead: null,
    lastSuccessAt: null,
    ...over,
  };
}

export function alertJob(over: Partial<IncidentJob> = {}): IncidentJob {
  return {
    jobType: "pg_cron",
    jobName: "sync_leads",
    jobUser: "postgres",
    schedule: "*/15 * * * *",
    description: "Copies new leads",
    successCriteria: "leads.updated_at moves",
    criticality: "critical",
    owner: "dana@acme.com",
    runbookUrl: "https://wiki.acme.com/sync",
    ...over,
  };
}

/** A failed run of `sync_leads` in `smoothed`, unless said otherwise. */
export function incident(over: Partial<Incident> = {}): Incident {
  return {
    id: "6f1d9c1e-4b0a-4f57-9d3f-1d2f7c0a9b11",
    projectName: "smoothed",
    projectId: "abcdefghijklmnopqrst",
    subjectKind: "job",
    subjectId: "0a6c2f1e-1111-4111-8111-000000000001",
    code: "failed",
    severity: "critical",
    summary: "the last run failed: ERROR:  division by zero",
    detail: {
      expectedAt: "2026-11-21T12:45:00Z",
      lastRunAt: "2026-11-21T12:45:00Z",
      lastSuccessAt: "2026-11-21T12:30:01Z",
      errorMessage: "ERROR:  division by zero\nCONTEXT:  PL/pgSQL function sync_leads() line 3",
      recentRuns: recentRuns("ssssssssssf"),
    },
    openedAt: "2026-11-21T12:46:00Z",
    resolvedAt: null,
    resolution: null,
    job: alertJob(),
    ...over,
  };
}

/** Runs, oldest first, by their first letters: `ssf` is two successes and a failure. */
export function recentRuns(letters: string): RecentRun[] {
  const statuses = { s: "success", f: "failed", u: "unknown", r: "running" } as const;
  return [...letters].map((letter, index) => ({
    runId: index,
    status: statuses[letter as keyof typeof statuses],
    startedAt: null,
    endedAt: null,
  }));
}

/** A message with hardly anything in it. */
export function message(over: Partial<Message> = {}): Message {
  return {
    event: "opened",
    severity: "important",
    title: "FAILED: a in b · important",
    cause: "The last run failed.",
    fields: [],
    excerpt: null,
    strip: null,
    links: [],
    footer: "incident 1",
    incidentIds: ["1"],
    at: NOW,
    ...over,
  };
}

/** What jobs, errors and people can write at their worst. */
export const HOSTILE: Readonly<Record<string, string>> = {
  "100 kB of an error": "ERROR:  value too long for type character varying(10) ".repeat(2_000),
  "100 kB without a blank": "x".repeat(100_000),
  "100 kB of Markdown": "*_~`|>[]\\".repeat(11_000),
  "100 kB of markup": "<b>&amp;</i>".repeat(8_000),
  "emoji": "👩‍👩‍👧‍👦🏳️‍🌈".repeat(2_000),
  "right to left": "خطأ في الخادم \u202egnp.exe \u2066hidden\u2069 \u200fעברית",
  "mentions": "@everyone @here <@123> <@&456> <#789> <!channel> <!here> @durov /start #tag",
  "markup": "</b></pre><script>alert(1)</script><a href='x'>&lt;&amp;&nbsp;&#0;",
  "code fences": "```\nout of the block\n``` ````` `x` ~~~",
  "timestamps and links": "<t:0:F> [click](https://evil.example) ![x](y) <https://evil.example> ||spoiler||",
  "headings and lists": "# big\n## less\n- one\n* two\n> quote\n>>> all\n-# small\n1. first",
  "NUL and control characters": "a\u0000b\u0001c\u001b[31mred\u001b[0m\u0007\u0085\u2028z\r\ncrlf\rcr",
  "100 kB of line breaks": "\r\n".repeat(50_000),
  "100 kB of NUL": "\u0000".repeat(100_000),
  "headers of a mail": "verdict\r\nBcc: mallory@evil.example\r\nContent-Type: text/html\r\n\r\n<h1>body</h1>",
  "words that other programs act on":
    "javascript:alert(1) data:text/html,x {{7*7}} ${7*7} %0d%0aBcc:x %s%n '; drop table jobs; -- \\x00 &#0; =1+1",
  "marks that pile up": "Z" + "\u0301\u0336".repeat(500) + "algo",
  "lone surrogates": "\ud800 and \udfff and \udfff\ud800",
  "blanks only": " \t\n\u00a0 ",
  "nothing": "",
};
