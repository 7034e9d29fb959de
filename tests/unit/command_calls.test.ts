import assert from "node:assert/strict";
import { callsInCommand } from "../../supabase/functions/_shared/rules/command_calls.ts";
import { commandWarnings } from "../../supabase/functions/_shared/rules/command_warnings.ts";
import { inventoryJob, knowledge, MINUTE, NOON } from "../support/facts.ts";
import type { HubKnowledge } from "../../supabase/functions/_shared/domain/hub.ts";

const REF = "abcdefghijklmnopqrst";
const URL_OF_SYNC = `https://${REF}.supabase.co/functions/v1/sync`;

Deno.test("callsInCommand() reads URL and timeout, however they are written", () => {
  const cases: [command: string, url: string | null, timeoutMs: number | null][] = [
    [`select net.http_post('${URL_OF_SYNC}')`, URL_OF_SYNC, 5_000],
    [`select net.http_post(url := '${URL_OF_SYNC}', timeout_milliseconds := 30000)`, URL_OF_SYNC, 30_000],
    [`select net.http_post(timeout_milliseconds=>1_000, url=>'${URL_OF_SYNC}')`, URL_OF_SYNC, 1_000],
    [`select net.http_post('${URL_OF_SYNC}', '{"a": "x, )"}'::jsonb, '{}', '{}', 9000)`, URL_OF_SYNC, 9_000],
    [`select net.http_get('${URL_OF_SYNC}', '{}', '{}', 700) as id;`, URL_OF_SYNC, 700],
    [`select net.http_delete('${URL_OF_SYNC}'::text)`, URL_OF_SYNC, 5_000],
    [`SELECT "net"."http_post" ( /* to (the) */ '${URL_OF_SYNC}' -- it's that\n )`, URL_OF_SYNC, 5_000],
    [`select net.http_post('https://${REF}.supabase.co' || '/functions/v1/sync')`, URL_OF_SYNC, 5_000],
    [`select net.http_post(E'${URL_OF_SYNC.replace("/sync", "\\x2fsync")}')`, URL_OF_SYNC, 5_000],
    [`select net.http_post($u$${URL_OF_SYNC}$u$)`, URL_OF_SYNC, 5_000],
    [`do $$ begin perform net.http_post('${URL_OF_SYNC}'); end $$`, URL_OF_SYNC, 5_000],
    [`select net.http_post(base || '/sync')`, null, 5_000],
    [`select net.http_post((select url from t), timeout_milliseconds := 5 * 1000)`, null, null],
    [`select net.http_post(format('%s/sync', base), body := '{}')`, null, 5_000],
    [`select net.http_post(url := concat('https://', host))`, null, 5_000],
    [`select net.http_post('unclosed`, null, 5_000],
    [`select net.http_post(`, null, 5_000],
  ];
  for (const [command, url, timeoutMs] of cases) {
    assert.deepEqual(callsInCommand(command), [{ through: "net", url, timeoutMs }], command);
  }
  assert.deepEqual(
    callsInCommand(`select monitored.http_post('sync', '${URL_OF_SYNC}', timeout_milliseconds => 100)`),
    [{ through: "monitored", url: URL_OF_SYNC, timeoutMs: 100 }],
  );
});

Deno.test("callsInCommand() finds nothing in comments, strings, other schemas and other functions", () => {
  for (
    const command of [
      "select 1",
      "-- net.http_post('https://example.com')\nselect 1",
      "/* a /* nested */ net.http_post('x') */ select 1",
      "select 'net.http_post(''x'')'",
      "select extensions.http_post('x')",
      "select net.http_patch('x')",
      "select net.http_post",
      "",
    ]
  ) assert.deepEqual(callsInCommand(command), [], command);
});

Deno.test("callsInCommand() takes time that grows with the text alone", () => {
  for (const piece of ["'", "$a$", "/*", '"', "net.http_post(", "e'\\", "((((", "1_1_"]) {
    callsInCommand(piece.repeat(5_000));
  }
});

const edge = (over: Partial<ReturnType<typeof inventoryJob>>) =>
  inventoryJob({ id: "edge-1", jobType: "edge_function", jobName: "sync", jobUser: null, ...over });

function warningsOf(command: string, over: Partial<HubKnowledge> = {}) {
  return commandWarnings(
    command,
    { name: "smoothed", ref: REF },
    knowledge({ jobs: [edge({})], ...over }),
    NOON,
  );
}

function codesOf(command: string, over: Partial<HubKnowledge> = {}) {
  return warningsOf(command, over).map(({ code, weight }) => [code, weight]);
}

const wrapped = (url: string, more = "") => `select monitored.http_post('sync', '${url}'${more})`;

function jwt(claims: Record<string, unknown>): string {
  const part = (value: unknown) =>
    btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}.c2lnbmF0dXJlLXNpZ25hdHVyZQ`;
}

Deno.test("a function that is there, called through the wrapper with a key of the Vault, is no cause for a warning", () => {
  assert.deepEqual(codesOf(wrapped(URL_OF_SYNC)), []);
  assert.deepEqual(codesOf("select 1"), []);
});

Deno.test("a call past the wrapper cannot be seen", () => {
  assert.deepEqual(codesOf(`select net.http_post('${URL_OF_SYNC}')`), [["http_outcome_unseen", "low"]]);
});

Deno.test("another project's function, one that does not exist and one that was removed are told apart", () => {
  const other = wrapped("https://tsrqponmlkjihgfedcba.supabase.co/functions/v1/sync");
  assert.deepEqual(codesOf(other), [["http_other_project", "low"]]);
  assert.deepEqual(codesOf(wrapped(`https://${REF}.supabase.co/functions/v1/snyc`)), [[
    "http_function_unknown",
    "low",
  ]]);
  assert.deepEqual(codesOf(wrapped(`https://${REF}.functions.supabase.co/snyc`)), [[
    "http_function_unknown",
    "low",
  ]]);
  const removed = { jobs: [edge({ removedAt: NOON - MINUTE })] };
  assert.deepEqual(codesOf(wrapped(URL_OF_SYNC), removed), [["http_function_removed", "important"]]);
  // nobody asked the Management API yet: nothing can be said
  assert.deepEqual(codesOf(wrapped(URL_OF_SYNC), { jobs: [] }), []);
  assert.deepEqual(codesOf(wrapped(`https://${REF}.supabase.co/rest/v1/leads`)), []);
});

Deno.test("a timeout shorter than the function usually takes is told with both", () => {
  const recentRuns = [1, 2, 3, 4, 5, 6].map((minute) => ({
    runId: null,
    status: "success" as const,
    startedAt: new Date(NOON - minute * MINUTE).toISOString(),
    endedAt: new Date(NOON - minute * MINUTE + 12_000).toISOString(),
  }));
  const state = {
    jobInventoryId: "edge-1",
    status: "healthy" as const,
    verdict: null,
    summary: null,
    schedule: null,
    slotsSince: null,
    judgedUntil: null,
    lastRunAt: null,
    lastSuccessAt: null,
    consecutiveFailures: 0,
    recentRuns,
  };
  const states = new Map([["edge-1", state]]);
  const [warning] = warningsOf(wrapped(URL_OF_SYNC), { states });
  assert.equal(
    warning?.message,
    'pg_net waits 5 s for "sync", which takes up to 12 s: give timeout_milliseconds, or let the function answer at once',
  );
  assert.deepEqual(codesOf(wrapped(URL_OF_SYNC, ", timeout_milliseconds := 20000"), { states }), []);
});

Deno.test("a JWT in the command is told with role and expiry, never with itself; an expired one is important", () => {
  const header = (token: string) => `, headers := '{"Authorization": "Bearer ${token}"}'`;
  const good = jwt({ role: "service_role", exp: Date.parse("2033-01-01T00:00:00Z") / 1000 });
  const [warning] = warningsOf(wrapped(URL_OF_SYNC, header(good)));
  assert.equal(
    warning?.message,
    "its command holds a JWT of role service_role in plain text, which expires on 2033-01-01 00:00 UTC: keep a key in the Vault",
  );
  const expired = jwt({ role: "anon", exp: NOON / 1000 - 60 });
  const [over] = warningsOf(wrapped(URL_OF_SYNC, header(expired)));
  assert.deepEqual([over?.code, over?.weight], ["http_key_expired", "important"]);
  assert.equal(over?.message, "the JWT of role anon in its command expired on 2026-11-21 11:59 UTC");
  // nobody knows what another function does with it
  assert.equal(warningsOf(`select my_call('${expired}')`)[0]?.weight, "low");
  const odd = jwt({ role: "<b>@everyone</b>", exp: "soon" });
  assert.match(
    warningsOf(wrapped(URL_OF_SYNC, header(odd)))[0]?.message ?? "",
    /holds a JWT in plain text, which has no expiry/,
  );
  for (const token of [good, expired, odd]) {
    assert.ok(!JSON.stringify(warningsOf(wrapped(URL_OF_SYNC, header(token)))).includes(token.slice(0, 20)));
  }
  assert.deepEqual(codesOf(wrapped(URL_OF_SYNC, header("eyJhbGciOiJub.eyJub3QganNvbg.xxxx"))), []);
});

Deno.test("a secret key in plain text is told without it", () => {
  const warnings = warningsOf(
    wrapped(URL_OF_SYNC, `, headers := '{"apikey": "sb_secret_abcdefgh12345678"}'`),
  );
  assert.deepEqual(warnings.map(({ code }) => code), ["http_key_in_command"]);
  assert.ok(!JSON.stringify(warnings).includes("abcdefgh"));
});
