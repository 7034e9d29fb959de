/** One piece of news, one message a target: raised severities, rows with one target, refusals of one message, retention. */
import assert from "node:assert/strict";
import { addDiscord, addIncident, addTelegram, onStage, owe, row, type Stage } from "../support/outbox.ts";
import { testDatabase } from "../support/postgres.ts";

/** Titles of what has arrived, a channel each. */
function arrived({ sink }: Stage): string[] {
  return sink.deliveries().filter(({ accepted }) => accepted)
    .map(({ channel, text }) => `${channel} ${/[A-Z]{4,}.*/.exec(text ?? "")?.[0] ?? ""}`);
}

const REFUSED = { status: 400, body: { message: "Invalid Form Body", code: 50035 } };

// --- one target ---

Deno.test("a literal, a reference to a function secret and one to the Vault that mean one webhook tell it once", () =>
  onStage(async (stage) => {
    stage.env.HOOK = stage.sink.discordWebhookUrl;
    await stage.sql`select vault.create_secret(${stage.sink.discordWebhookUrl}, 'hook')`;
    const rows = [
      await addDiscord(stage, { name: "literal" }),
      await addDiscord(stage, { name: "secret", webhook_url: "env:HOOK" }),
      await addDiscord(stage, { name: "vault", webhook_url: "vault:hook" }),
    ];
    const incident = await addIncident(stage);
    const owed = await Promise.all(rows.map((config) => owe(stage, [incident], { config })));
    await stage.sql`update alert_deliveries set admitted_at = null`;
    assert.equal((await stage.run()).sent, 1);
    assert.equal(arrived(stage).length, 1);
    const states = await Promise.all(owed.map((id) => row(stage, id)));
    assert.deepEqual(states.map(({ state }) => state).sort(), ["cancelled", "cancelled", "sent"]);
    const [reason] = states.flatMap(({ last_error }) => last_error ?? []);
    assert.match(reason ?? "", /^Row ".*" \(discord\) of alert_config tells the same to the same target$/);
  }));

Deno.test("another thread or chat is another target", () =>
  onStage(async (stage) => {
    const rows = [await addDiscord(stage), await addDiscord(stage, { thread_id: "1" })];
    const incident = await addIncident(stage);
    for (const config of rows) await owe(stage, [incident], { config });
    await stage.sql`update alert_deliveries set admitted_at = null`;
    await stage.run();
    const cancelled = await stage.sql`select from alert_deliveries where state = 'cancelled'`;
    assert.equal(cancelled.length, 0);
  }));

// --- severity ---

Deno.test("a severity that is raised is told at once, once; a lowered one and the way back are no news", () =>
  onStage(async (stage) => {
    await addDiscord(stage, { criticality: "important" });
    await addTelegram(stage, { criticality: "critical" });
    const id = await addIncident(stage);
    const [discord] = await stage.sql`select id from alert_config where channel = 'discord'`;
    await owe(stage, [id], { config: discord?.id });
    await stage.run();
    const severity = async (value: string) => {
      await stage.sql`update incidents set severity = ${value} where id = ${id}`;
      return (await stage.run()).sent;
    };
    assert.equal(await severity("critical"), 1);
    assert.equal((await stage.run()).sent, 0);
    const text = stage.sink.deliveries().at(-1)?.text ?? "";
    assert.match(text, /FAILED: job_\d+ in smoothed · critical/);
    assert.match(text, /Its severity was raised from important to critical/);
    assert.deepEqual([await severity("low"), await severity("important"), await severity("critical")], [
      0,
      0,
      0,
    ]);
    assert.deepEqual(arrived(stage).map((line) => line.split(" ")[0]), ["discord", "telegram"]);
  }));

// --- refusals of one message ---

Deno.test("a message refused for what it says goes elsewhere, and the channel goes on", () =>
  onStage(async (stage) => {
    const discord = await addDiscord(stage);
    await addTelegram(stage, { criticality: "critical" });
    const [first, second] = [await addIncident(stage), await addIncident(stage, { code: "missed" })];
    const refused = await owe(stage, [first], { config: discord, minutesAgo: 1 });
    await owe(stage, [second], { config: discord });
    stage.sink.script("discord", [REFUSED]);
    const summary = await stage.run();
    assert.deepEqual([summary.failed, summary.sent], [1, 2], "in one run");
    assert.deepEqual(summary.channels?.map(({ status }) => status), ["healthy", "healthy"]);
    const lines = arrived(stage).map((line) => line.replace(/ in .*/, "").replace(/job_\d+/, "job"));
    assert.deepEqual(lines.sort(), ["discord MISSED: job", "telegram FAILED: job"]);
    assert.match(
      stage.sink.deliveries().at(-1)?.text ?? "",
      /discord refused this message: Discord answered 400/,
    );
    assert.equal((await row(stage, refused)).state, "failed");
    assert.equal((await stage.sql`select from incidents where code = 'channel_dead'`).length, 0);
  }));

Deno.test("the third message in a row that is refused makes the channel dead, a success in between does not", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage, { name: "team" });
    const status = async (refusals: number) => {
      stage.sink.script("discord", Array(refusals).fill(REFUSED));
      for (let message = 0; message < Math.max(refusals, 1); message++) {
        await owe(stage, [await addIncident(stage)], { config });
        await stage.run();
      }
      const [state] = await stage.sql`select status, reason from channel_state`;
      return [state?.status, state?.reason];
    };
    assert.deepEqual(await status(2), ["healthy", null]);
    assert.deepEqual(await status(0), ["healthy", null]);
    assert.deepEqual(await status(2), ["healthy", null]);
    assert.deepEqual(await status(1), [
      "dead",
      "it refused the last 3 messages: Discord answered 400: Invalid Form Body (code 50035)",
    ]);
    assert.equal((await stage.sql`select from incidents where code = 'channel_dead'`).length, 1);
  }));

// --- retention ---

Deno.test("purge() deletes old deliveries, silences and incidents, and nothing of what is open or owed", async () => {
  await using db = await testDatabase("hub");
  const { sql } = db;
  const incident = async (code: string, resolvedDaysAgo: number | null) => {
    const [made] = await sql<{ id: string }[]>`
      insert into incidents (project_name, subject_kind, subject_id, code, severity, summary, opened_at, resolved_at, resolution)
      values ('smoothed', 'job', 'x', ${code}, 'low', 'x', now() - interval '1000 days',
              ${resolvedDaysAgo === null ? null : sql`now() - make_interval(days => ${resolvedDaysAgo})`},
              ${resolvedDaysAgo === null ? null : "recovered"}) returning id`;
    return made?.id ?? "";
  };
  const delivery = async (note: string, state: string, daysAgo: number, incidentId: string) => {
    const settled = ["sent", "failed", "cancelled"].includes(state);
    const [made] = await sql<{ id: string }[]>`
      insert into alert_deliveries (event, note, state, last_error, created_at, sent_at, settled_at)
      select 'opened', ${note}, ${state}, ${state === "sent" ? null : "why"}, at, at, ${
      settled ? sql`at` : null
    }
      from (select now() - make_interval(days => ${daysAgo}) as at) as x returning id`;
    await sql`insert into delivery_incidents values (${made?.id ?? ""}, ${incidentId})`;
  };
  const open = await incident("open", null);
  const recent = await incident("recent", 399);
  const old = await incident("old", 401);
  const owed = await incident("owed", 401);
  await delivery("of open", "sent", 900, open);
  await delivery("young", "cancelled", 89, recent);
  await delivery("old sent", "sent", 91, recent);
  await delivery("old failed", "failed", 91, old);
  await delivery("still owed", "unroutable", 500, owed);
  const silence = (reason: string, endsDaysAgo: number) =>
    sql`insert into silences (starts_at, ends_at, created_by, reason)
        values (now() - interval '900 days', now() - make_interval(days => ${endsDaysAgo}), 'dana', ${reason})`;
  await silence("old", 91);
  await silence("young", 89);
  await silence("going on", -1);
  await sql`insert into silences (schedule, duration_minutes, created_by, reason, starts_at)
            values ('0 2 * * 0', 60, 'dana', 'for ever', now() - interval '900 days')`;
  const [done] = await sql`select monitoring.purge() as done`;
  const { deliveries_deleted, silences_deleted, incidents_deleted } = done?.done?.alerts ?? {};
  assert.deepEqual([deliveries_deleted, silences_deleted, incidents_deleted], [2, 1, 1]);
  const names = async (query: Promise<readonly { name: string }[]>) => (await query).map(({ name }) => name);
  assert.deepEqual(
    await names(sql<{ name: string }[]>`select note as name from alert_deliveries order by 1`),
    [
      "of open",
      "still owed",
      "young",
    ],
  );
  assert.deepEqual(await names(sql<{ name: string }[]>`select reason as name from silences order by 1`), [
    "for ever",
    "going on",
    "young",
  ]);
  assert.deepEqual(await names(sql<{ name: string }[]>`select code as name from incidents order by 1`), [
    "open",
    "owed",
    "recent",
  ]);
  await assert.rejects(
    sql`update app_settings set value = '0' where key = 'incident_days'`,
    /delivery_days, silence_days, incident_days are 1 to 9999/,
  );
});
