/** In the whole stack: cron jobs whose HTTP calls go wrong, each as verdict, row of the log and alert. */
import assert from "node:assert/strict";
import postgres from "postgres";
import type { SinkDelivery } from "../fakes/sink.ts";
import { startServer } from "../support/http_calls.ts";
import { startStack, withStackPlace } from "../support/stack.ts";
import { waitFor } from "../support/wait_for.ts";

/** pg_cron fires at full minutes, pg_net and the alerts follow. */
const DEADLINE_MS = 150_000;

interface Expected {
  status: string;
  verdict: string | null;
  logged: string;
  /** The sentence of log and alert. */
  message: RegExp | null;
}

Deno.test("pg_cron calls each run a success; check, log and alert say what the calls came to", async () => {
  await withStackPlace(async (place) => {
    const { info, child, ended } = await startStack(place);
    const hub = postgres(info.hub_db_url, { max: 1, onnotice: () => {} });
    await using server = startServer();
    const host = new URL(server.url).host;
    const calls: Record<string, [url: string, Expected]> = {
      gets_200: [`${server.url}/200`, { status: "healthy", verdict: null, logged: "success", message: null }],
      gets_500: [`${server.url}/500`, failed(`the call got 500 from ${host}/500`)],
      gets_404: [
        `${info.functions_url}/no-such-function`,
        failed("the call got 404 from [^ ]+/no-such-function"),
      ],
      times_out: [`${server.url}/held`, {
        status: "unknown",
        verdict: "http_unknown",
        logged: "unknown",
        message: /nobody can say what became of the call to .*\/held: pg_net waited 2 s and gave up/i,
      }],
      is_refused: [
        `${server.refusedUrl}/sync`,
        failed("the call to [^ ]+/sync failed: Couldn't connect to server"),
      ],
      says_no: [
        `${server.url}/ok-false`,
        failed(`the call got 200 from ${host}/ok-false, and "ok": false in its body`),
      ],
    };
    try {
      for (const [name, [url]] of Object.entries(calls)) {
        const command = `select monitored.http_post('${name}', '${url}', timeout_milliseconds := 2000)`;
        await hub`select cron.schedule(${name}, '* * * * *', ${command})`;
      }
      await call(info.functions_url, info.secret_key, "discover-jobs", { project: "thordata" });
      await hub`update job_inventory set check_body_ok = true where job_name = 'says_no'`;
      await waitFor(async () => {
        const [row] = await hub`
          select count(distinct c.job)::int as n from monitored.http_calls c
          where c.job in ${
          hub(Object.keys(calls))
        } and exists (select from net._http_response r where r.id = c.request_id)`;
        return row?.["n"] === Object.keys(calls).length;
      }, { what: "an answer to each call", withinMs: DEADLINE_MS, everyMs: 500 });

      await call(info.functions_url, info.secret_key, "check-job-health", { project: "thordata" });
      const states = await hub`
        select j.job_name, s.status, s.verdict, d.status as pg_cron, l.status as logged, l.error_message
        from job_inventory j join job_state s on s.job_inventory_id = j.id
        join lateral (select status from cron.job_run_details d where d.jobid = j.job_id and d.status <> 'running'
                      order by runid limit 1) d on true
        join lateral (select status, error_message from job_health_log l
                      where l.job_inventory_id = j.id and l.source = 'http' order by run_at limit 1) l on true
        where j.job_name in ${hub(Object.keys(calls))}`;
      assert.equal(states.length, Object.keys(calls).length);
      for (const state of states) {
        const [, expected] = calls[state["job_name"]] ?? assert.fail();
        const { status, verdict, logged, pg_cron, error_message } = state;
        assert.deepEqual([pg_cron, status, verdict, logged], [
          "succeeded",
          expected.status,
          expected.verdict,
          expected.logged,
        ]);
        if (expected.message === null) assert.equal(error_message, null);
        else assert.match(error_message, expected.message);
      }

      await call(info.functions_url, info.secret_key, "send-alert", {});
      const told = Object.values(calls).flatMap(([, { message }]) => message ?? []);
      let texts: string[] = [];
      await waitFor(async () => {
        const alerts: SinkDelivery[] = await (await fetch(`${info.sink_url}/deliveries`)).json();
        texts = alerts.filter(({ accepted }) => accepted).map(({ text }) =>
          (text ?? "").replaceAll("\\", "")
        );
        return told.every((message) => texts.some((text) => message.test(text)));
      }, {
        what: () => `an alert about each of them, in:\n${texts.join("\n--\n")}`,
        withinMs: DEADLINE_MS,
        everyMs: 500,
      });
    } finally {
      await hub.end({ timeout: 1 });
      child.kill("SIGINT");
      await ended;
    }
  });
});

function failed(message: string): Expected {
  return { status: "failed", verdict: "http_failed", logged: "failed", message: new RegExp(message, "i") };
}

async function call(functionsUrl: string, key: string, name: string, body: unknown): Promise<void> {
  const response = await fetch(`${functionsUrl}/${name}`, {
    method: "POST",
    headers: { apikey: key, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, await response.text());
}
