/** The outbox and `send-alert` on real Postgres, with strict fakes of the vendors. */
import assert from "node:assert/strict";
import {
  claimDeliveries,
  markUnroutable,
  settleDelivery,
  storeRendered,
} from "../../supabase/functions/_shared/hub/deliveries.ts";
import { REFUSING_HOST } from "../support/endpoint.ts";
import { watchSql } from "../support/watched_sql.ts";
import { addDiscord, addIncident, addTelegram, makeDue, onStage, owe, row } from "../support/outbox.ts";

// --- the outbox ---

Deno.test("claiming leases what is due, oldest first, and counts the attempt", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage);
    const ids = [];
    for (const minutesAgo of [1, 3, 2]) {
      ids.push(await owe(stage, [await addIncident(stage)], { config, minutesAgo }));
    }
    const { deliveries } = await claimDeliveries(stage.hub, { limit: 2, leaseSeconds: 60 });
    assert.deepEqual(deliveries.map(({ id }) => id), [ids[1], ids[2]]);
    const [first] = deliveries;
    assert.equal(first?.attempts, 1);
    assert.equal(first?.target.webhookUrl, stage.sink.discordWebhookUrl);
    assert.equal(first?.incidents[0]?.job?.owner, "dana");
    assert.equal((await row(stage, ids[1] ?? "")).leased, true);
    const rest = await claimDeliveries(stage.hub, { limit: 10, leaseSeconds: 60 });
    assert.deepEqual(rest.deliveries.map(({ id }) => id), [ids[0]]);
  }));

Deno.test("claiming leaves alone what is not yet due, and rows of alert_config that are excepted", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage);
    const later = await owe(stage, [await addIncident(stage)], { config });
    await stage
      .sql`update alert_deliveries set next_attempt_at = now() + interval '1 minute' where id = ${later}`;
    const other = await addDiscord(stage);
    const due = await owe(stage, [await addIncident(stage)], { config: other });
    assert.deepEqual(
      (await claimDeliveries(stage.hub, { limit: 9, leaseSeconds: 60, except: [other] })).deliveries,
      [],
    );
    const { deliveries } = await claimDeliveries(stage.hub, { limit: 9, leaseSeconds: 60, except: [config] });
    assert.deepEqual(deliveries.map(({ id }) => id), [due]);
  }));

Deno.test("claiming leaves alone what the policy has not let through, and what comes after it", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage);
    const incident = await addIncident(stage);
    const held = await owe(stage, [incident], { config, minutesAgo: 5 });
    await owe(stage, [incident], { config, event: "resolved" });
    await stage.sql`update alert_deliveries set admitted_at = null where id = ${held}`;
    assert.deepEqual((await claimDeliveries(stage.hub, { limit: 9, leaseSeconds: 60 })).deliveries, []);
  }));

Deno.test("an attempt counts as uncertain from its claim until its vendor's answer is settled", () =>
  onStage(async (stage) => {
    await owe(stage, [await addIncident(stage)], { config: await addDiscord(stage) });
    const uncertain = async () => {
      const [found] = await stage.sql<{ count: number }[]>`
        select uncertain_attempts as count from alert_deliveries`;
      return found?.count;
    };
    const seen: (number | undefined)[] = [];
    for (const unsure of [false, true, false]) {
      const [claimed] = (await claimDeliveries(stage.hub, { limit: 1, leaseSeconds: 60 })).deliveries;
      assert.ok(claimed);
      seen.push(await uncertain());
      await settleDelivery(stage.hub, claimed, { kind: "retry", error: "x", delayMs: 0, uncertain: unsure });
      seen.push(await uncertain());
    }
    assert.deepEqual(seen, [1, 0, 1, 1, 2, 1]);
  }));

Deno.test("a lease that ran out is claimed again, and its old holder can neither store nor settle", () =>
  onStage(async (stage) => {
    const id = await owe(stage, [await addIncident(stage)], { config: await addDiscord(stage) });
    const [dead] = (await claimDeliveries(stage.hub, { limit: 1, leaseSeconds: 60 })).deliveries;
    assert.ok(dead);
    assert.deepEqual((await claimDeliveries(stage.hub, { limit: 1, leaseSeconds: 60 })).deliveries, []);
    await stage.sql`update alert_deliveries set leased_until = now() - interval '1 second'`;
    const [alive] = (await claimDeliveries(stage.hub, { limit: 1, leaseSeconds: 60 })).deliveries;
    assert.ok(alive);
    assert.equal(alive.attempts, 2);
    const rendered = { body: { x: 1 }, plain: "x" };
    assert.equal(await storeRendered(stage.hub, dead, rendered), null);
    assert.equal(await settleDelivery(stage.hub, dead, { kind: "sent", providerId: "1" }), false);
    assert.deepEqual(await storeRendered(stage.hub, alive, rendered), rendered);
    assert.equal(await settleDelivery(stage.hub, alive, { kind: "sent", providerId: "2" }), true);
    assert.equal(
      await settleDelivery(stage.hub, alive, { kind: "permanent", error: "x", about: "target" }),
      false,
    );
    const { state, provider_id, rendered: stored } = await row(stage, id);
    assert.deepEqual([state, provider_id, stored], ["sent", "2", rendered]);
  }));

Deno.test("settling keeps the error and when to try again", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage);
    const [retried, failed, released] = [
      await owe(stage, [await addIncident(stage)], { config, minutesAgo: 3 }),
      await owe(stage, [await addIncident(stage)], { config, minutesAgo: 2 }),
      await owe(stage, [await addIncident(stage)], { config, minutesAgo: 1 }),
    ];
    const [first, second, third] =
      (await claimDeliveries(stage.hub, { limit: 3, leaseSeconds: 60 })).deliveries;
    assert.ok(first && second && third);
    await settleDelivery(stage.hub, first, { kind: "retry", error: "Discord answered 503", delayMs: 90_000 });
    await settleDelivery(stage.hub, second, {
      kind: "permanent",
      error: "Discord answered 404",
      about: "target",
    });
    await settleDelivery(stage.hub, third, { kind: "release" });
    const a = await row(stage, retried);
    assert.deepEqual([a.state, a.attempts, a.last_error, a.leased], ["due", 1, "Discord answered 503", null]);
    assert.ok(a.waits_s > 80 && a.waits_s <= 90, `waits ${a.waits_s} s`);
    const b = await row(stage, failed);
    assert.deepEqual([b.state, b.last_error, b.leased], ["failed", "Discord answered 404", null]);
    const c = await row(stage, released);
    assert.deepEqual([c.state, c.attempts, c.last_error, c.leased], ["due", 0, null, null]);
  }));

Deno.test("per incident and target nothing overtakes: the recovery waits for the opening", () =>
  onStage(async (stage) => {
    const [config, other] = [await addDiscord(stage), await addTelegram(stage)];
    const incident = await addIncident(stage);
    const opened = await owe(stage, [incident], { config, minutesAgo: 9 });
    const resolved = await owe(stage, [incident, await addIncident(stage)], { config, event: "resolved" });
    const elsewhere = await owe(stage, [incident], { config: other, channel: "telegram", event: "resolved" });
    const first = (await claimDeliveries(stage.hub, { limit: 9, leaseSeconds: 60 })).deliveries;
    assert.deepEqual(new Set(first.map(({ id }) => id)), new Set([opened, elsewhere]));
    const [claimed] = first.filter(({ id }) => id === opened);
    assert.ok(claimed);
    await settleDelivery(stage.hub, claimed, { kind: "retry", error: "x", delayMs: 60_000 });
    assert.deepEqual((await claimDeliveries(stage.hub, { limit: 9, leaseSeconds: 60 })).deliveries, []);
    await makeDue(stage);
    const [again] = (await claimDeliveries(stage.hub, { limit: 9, leaseSeconds: 60 })).deliveries;
    assert.equal(again?.id, opened);
    if (again) await settleDelivery(stage.hub, again, { kind: "permanent", error: "gone", about: "target" });
    const last = (await claimDeliveries(stage.hub, { limit: 9, leaseSeconds: 60 })).deliveries;
    assert.deepEqual(last.map(({ id }) => id), [resolved]);
  }));

Deno.test("an opening and a recovery owed at the same instant go in that order", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage);
    for (let round = 0; round < 5; round++) {
      const incident = await addIncident(stage);
      await owe(stage, [incident], { config, event: "resolved", minutesAgo: 1 });
      await owe(stage, [incident], { config, minutesAgo: 1 });
    }
    await stage.sql`update alert_deliveries set created_at = '2026-11-21T12:00:00Z'`;
    const { deliveries } = await claimDeliveries(stage.hub, { limit: 99, leaseSeconds: 60 });
    assert.deepEqual(deliveries.map(({ event }) => event), Array(5).fill("opened"));
  }));

Deno.test("many claiming at once never get the same delivery", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage);
    for (let index = 0; index < 40; index++) await owe(stage, [await addIncident(stage)], { config });
    const claims = await Promise.all(
      Array.from({ length: 16 }, () => claimDeliveries(stage.sql, { limit: 5, leaseSeconds: 60 })),
    );
    const ids = claims.flatMap(({ deliveries }) => deliveries.map(({ id }) => id));
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(ids.length, 40);
  }));

Deno.test("a delivery whose row of alert_config is gone, disabled or another channel's is unroutable, not lost", () =>
  onStage(async (stage) => {
    const [gone, off, changed] = [await addDiscord(stage), await addDiscord(stage), await addDiscord(stage)];
    const ids = [];
    for (const config of [gone, off, changed]) {
      ids.push(await owe(stage, [await addIncident(stage)], { config }));
    }
    await stage.sql`delete from alert_config where id = ${gone}`;
    await stage.sql`update alert_config set enabled = false where id = ${off}`;
    await stage
      .sql`update alert_config set channel = 'telegram', bot_token = 'x', chat_id = '1' where id = ${changed}`;
    assert.deepEqual((await claimDeliveries(stage.hub, { limit: 9, leaseSeconds: 60 })).deliveries, []);
    assert.equal(await markUnroutable(stage.hub), 3);
    const rows = await Promise.all(ids.map((id) => row(stage, id)));
    assert.deepEqual(rows.map(({ state, last_error }) => [state, last_error]), [
      ["unroutable", "Its row of alert_config was deleted"],
      ["unroutable", "Its row of alert_config is disabled"],
      ["unroutable", "Its row of alert_config is of another channel now"],
    ]);
  }));

Deno.test("nobody but the hub's owner may call the outbox", () =>
  onStage(async ({ sql }) => {
    const [{ open = -1 } = {}] = await sql<{ open: number }[]>`
      select count(*)::integer as open from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
      where p.pronamespace = 'monitoring'::regnamespace and a.grantee = 0`;
    assert.equal(open, 0);
    const [{ unpinned = "?" } = {}] = await sql<{ unpinned: string | null }[]>`
      select string_agg(proname, ', ') as unpinned from pg_proc
      where pronamespace = 'monitoring'::regnamespace and not coalesce(proconfig::text like '%search_path=%', false)`;
    assert.equal(unpinned, null);
  }));

// --- send-alert ---

Deno.test("send-alert delivers what is owed, once, to each vendor", () =>
  onStage(async (stage) => {
    const [discord, telegram] = [await addDiscord(stage), await addTelegram(stage)];
    const incident = await addIncident(stage);
    const ids = [
      await owe(stage, [incident], { config: discord }),
      await owe(stage, [incident], { config: telegram, channel: "telegram" }),
    ];
    const summary = await stage.run();
    assert.deepEqual([summary.sent, summary.retried, summary.failed, summary.unroutable], [2, 0, 0, 0]);
    assert.deepEqual(new Set(summary.deliveries.map(({ id }) => id)), new Set(ids));
    assert.equal(summary.deliveries[0]?.incidents[0]?.project, "smoothed");
    assert.deepEqual(
      stage.sink.deliveries().map(({ channel, accepted }) => `${channel} ${accepted}`).sort(),
      [
        "discord true",
        "telegram true",
      ],
    );
    for (const id of ids) {
      const { state, attempts, provider_id, last_error } = await row(stage, id);
      assert.deepEqual([state, attempts, last_error], ["sent", 1, null]);
      assert.ok(provider_id);
    }
    assert.equal((await stage.run()).deliveries.length, 0);
    assert.equal(stage.sink.deliveries().length, 2);
  }));

Deno.test("an alert tells what changed since the last success, and what else is open", () =>
  onStage(async (stage) => {
    const id = await addIncident(stage);
    const [job] = await stage.sql`select job_inventory_id as id from incidents where id = ${id}`;
    await stage.sql`insert into job_state (job_inventory_id, status, last_success_at)
                    values (${job?.id}, 'failed', now() - interval '1 hour')`;
    await stage.sql`
      insert into inventory_changes (job_inventory_id, project_name, job_type, job_name, change, old_value, noticed_at)
      select ${job?.id}, 'smoothed', 'pg_cron', 'x', change, '0 * * * *', now() - before
      from (values ('schedule', interval '10 minutes'), ('command', interval '2 hours'), ('job_id', '1 minute'))
           as changes (change, before)`;
    for (let index = 0; index < 7; index++) await addIncident(stage, { code: "missed" });
    await addIncident(stage, { project_name: "scraping" });
    await addIncident(stage, { severity: "info" });
    await addIncident(stage, { resolved_at: new Date(), resolution: "recovered" });
    await owe(stage, [id], { config: await addDiscord(stage) });
    await stage.run();
    const text = stage.sink.deliveries()[0]?.text ?? "";
    assert.match(text, /Changed since then: schedule \(was 0 \* \* \* \*\), noticed \d{4}-\S+ \S+ UTC\n/);
    assert.match(
      text,
      /Also open: (job_\d+ \(missed\)(, )?){5} and 2 more in smoothed; 1 incident in other projects/,
    );
  }));

Deno.test("one delivery tells of many incidents", () =>
  onStage(async (stage) => {
    const incidents = [];
    for (let index = 0; index < 12; index++) incidents.push(await addIncident(stage));
    await owe(stage, incidents, { config: await addDiscord(stage) });
    const summary = await stage.run();
    assert.equal(summary.deliveries[0]?.incidents.length, 12);
    assert.match(stage.sink.deliveries()[0]?.text ?? "", /FAILED: 12 jobs in smoothed · important/);
  }));

Deno.test("a vendor's failure leaves the delivery due with its error, and the retry sends the same bytes", () =>
  onStage(async (stage) => {
    const id = await owe(stage, [await addIncident(stage)], { config: await addDiscord(stage) });
    stage.sink.script("discord", [{ status: 503, body: "upstream down", headers: { "retry-after": "120" } }]);
    const summary = await stage.run();
    assert.deepEqual([summary.sent, summary.retried], [0, 1]);
    assert.equal(summary.deliveries[0]?.error, "Discord answered 503: upstream down");
    const after = await row(stage, id);
    assert.deepEqual([after.state, after.attempts, after.last_error], [
      "due",
      1,
      "Discord answered 503: upstream down",
    ]);
    assert.ok(after.waits_s > 110 && after.waits_s <= 120, "as the vendor asked");
    assert.equal((await stage.run()).deliveries.length, 0, "not before its time");
    await makeDue(stage);
    assert.equal((await stage.run()).sent, 1);
    const [first, second] = stage.sink.deliveries();
    // the order of keys included
    assert.equal(JSON.stringify(second?.raw), JSON.stringify(first?.raw));
    assert.deepEqual([(await row(stage, id)).state, (await row(stage, id)).attempts], ["sent", 2]);
  }));

Deno.test("a sender that dies after the vendor took the message sends at most that one again, as it was", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage);
    const ids = [
      await owe(stage, [await addIncident(stage)], { config, minutesAgo: 2 }),
      await owe(stage, [await addIncident(stage)], { config, minutesAgo: 1 }),
    ];
    let sent = 0;
    const dying: typeof fetch = async (url, init) => {
      if (sent++ === 1) throw new Deno.errors.Interrupted("killed");
      await fetch(url, init).then((response) => response.body?.cancel());
      // from here on the hub is out of this sender's reach
      await stage.sql`update alert_deliveries set lease_token = gen_random_uuid()`;
      throw new Deno.errors.Interrupted("killed");
    };
    await stage.run({}, { fetch: dying });
    await stage.sql`update alert_deliveries set leased_until = now() where leased_until is not null`;
    await makeDue(stage);
    assert.equal((await stage.run()).sent, 2);
    assert.deepEqual((await Promise.all(ids.map((id) => row(stage, id)))).map(({ state }) => state), [
      "sent",
      "sent",
    ]);
    const [first, again, second] = stage.sink.deliveries();
    assert.deepEqual(first?.raw, again?.raw);
    assert.notDeepEqual(second?.raw, first?.raw);
    assert.equal(stage.sink.deliveries().length, 3);
  }));

Deno.test("a permanent refusal is failed with the vendor's reason, visible in the answer", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage, { webhook_url: `${stage.sink.discordWebhookUrl}x` });
    const id = await owe(stage, [await addIncident(stage)], { config });
    const summary = await stage.run();
    assert.equal(summary.failed, 1);
    assert.equal(summary.deliveries[0]?.error, "Discord answered 401: Invalid Webhook Token (code 50027)");
    const { state, last_error } = await row(stage, id);
    assert.deepEqual([state, last_error], [
      "failed",
      "Discord answered 401: Invalid Webhook Token (code 50027)",
    ]);
  }));

Deno.test("markup that Telegram refuses goes out as plain text in the same run", () =>
  onStage(async (stage) => {
    const id = await owe(stage, [await addIncident(stage)], {
      config: await addTelegram(stage),
      channel: "telegram",
    });
    const description = "Bad Request: can't parse entities: Unsupported start tag";
    stage.sink.script("telegram", [{ status: 400, body: { ok: false, error_code: 400, description } }]);
    const summary = await stage.run();
    assert.equal(summary.sent, 1);
    assert.match(summary.deliveries[0]?.note ?? "", /sent as plain text/);
    assert.equal((await row(stage, id)).rendered?.body.parse_mode, undefined);
    assert.match(stage.sink.deliveries()[1]?.text ?? "", /FAILED: job_\d+ in smoothed/);
  }));

Deno.test("secrets are read from the Vault and from function secrets; a missing one is named and leaves the delivery due", () =>
  onStage(async (stage) => {
    await stage.sql`select vault.create_secret(${stage.sink.discordWebhookUrl}, 'discord_webhook')`;
    stage.env.BOT = stage.sink.telegramBotToken;
    stage.env.CHAT = stage.sink.telegramChatId;
    const rows: [string, string][] = [
      [await addDiscord(stage, { webhook_url: "vault:discord_webhook" }), "discord"],
      [await addTelegram(stage, { bot_token: "env:BOT", chat_id: "env:CHAT" }), "telegram"],
      [await addDiscord(stage, { webhook_url: "vault:nothing_here" }), "discord"],
      [await addDiscord(stage, { webhook_url: "env:NOT_SET" }), "discord"],
      [await addDiscord(stage, { webhook_url: "env:SUPABASE_SECRET_KEYS" }), "discord"],
    ];
    const ids = [];
    for (const [config, channel] of rows) {
      ids.push(await owe(stage, [await addIncident(stage)], { config, channel }));
    }
    stage.env.SUPABASE_SECRET_KEYS = stage.sink.discordWebhookUrl;
    const summary = await stage.run();
    assert.deepEqual([summary.sent, summary.retried], [2, 3]);
    const after = await Promise.all(ids.map((id) => row(stage, id)));
    assert.deepEqual(after.map(({ state, last_error }) => [state, last_error]), [
      ["sent", null],
      ["sent", null],
      ["due", 'Cannot resolve "vault:nothing_here": the Vault has no secret of that name'],
      ["due", 'Cannot resolve "env:NOT_SET": there is no function secret of that name'],
      ["due", 'Cannot resolve "env:SUPABASE_SECRET_KEYS": names that begin with SUPABASE_ are reserved'],
    ]);
    for (const { waits_s } of after.slice(2)) assert.ok(waits_s > 20 && waits_s <= 30);
  }));

Deno.test("one bad delivery never stops the others", () =>
  onStage(async (stage) => {
    const good = await addDiscord(stage);
    const bad = {
      private: await addDiscord(stage, { webhook_url: "https://169.254.169.254/api/webhooks/1/x" }),
      nonsense: await addDiscord(stage, { webhook_url: "https://example.com/hook" }),
    };
    const broken = await addIncident(stage, { detail: { recentRuns: "not a list" } });
    const ids = {
      private: await owe(stage, [await addIncident(stage)], { config: bad.private, minutesAgo: 5 }),
      nonsense: await owe(stage, [await addIncident(stage)], { config: bad.nonsense, minutesAgo: 4 }),
      unreadable: await owe(stage, [broken], { config: good, minutesAgo: 3 }),
      good: await owe(stage, [await addIncident(stage)], { config: good }),
    };
    const summary = await stage.run();
    assert.deepEqual([summary.sent, summary.retried], [1, 3]);
    const error = async (id: string) => (await row(stage, id)).last_error ?? "";
    assert.equal(
      await error(ids.private),
      'Cannot send to host "169.254.169.254": it is not on the public internet',
    );
    assert.match(await error(ids.nonsense), /webhook_url must look like https:\/\/discord\.com/);
    assert.match(await error(ids.unreadable), /^Cannot read the delivery: incidents\.0\.detail\.recentRuns/);
    assert.equal((await row(stage, ids.good)).state, "sent");
  }));

Deno.test("after a 429 a target gets nothing more in this run; what was not tried is not counted as tried", () =>
  onStage(async (stage) => {
    const [discord, telegram] = [await addDiscord(stage), await addTelegram(stage)];
    const ids = [];
    for (let minutesAgo = 30; minutesAgo > 0; minutesAgo--) {
      ids.push(await owe(stage, [await addIncident(stage)], { config: discord, minutesAgo }));
    }
    await owe(stage, [await addIncident(stage)], { config: telegram, channel: "telegram" });
    const limited = { message: "You are being rate limited.", retry_after: 42.5, global: false };
    stage.sink.script("discord", [{ status: 429, body: limited }]);
    const summary = await stage.run();
    assert.deepEqual([summary.sent, summary.retried], [1, 1]);
    assert.equal(stage.sink.deliveries().filter(({ channel }) => channel === "discord").length, 1);
    const rows = await Promise.all(ids.map((id) => row(stage, id)));
    assert.ok((rows[0]?.waits_s ?? 0) > 40);
    assert.deepEqual(
      rows.slice(1).map(({ attempts, leased }) => [attempts, leased]),
      Array(29).fill([0, null]),
    );
    assert.equal((await stage.run()).sent, 29);
  }));

Deno.test("a dead vendor costs two attempts a run and does not hold up the others", () =>
  onStage(async (stage) => {
    const [discord, telegram] = [await addDiscord(stage), await addTelegram(stage)];
    for (let index = 0; index < 30; index++) {
      await owe(stage, [await addIncident(stage)], { config: discord, minutesAgo: 60 });
    }
    for (let index = 0; index < 5; index++) {
      await owe(stage, [await addIncident(stage)], { config: telegram, channel: "telegram" });
    }
    stage.sink.script("discord", Array(30).fill({ destroy: true }));
    const summary = await stage.run();
    assert.deepEqual([summary.sent, summary.retried], [5, 2]);
    assert.equal(
      summary.deliveries.find(({ error }) => error !== undefined)?.error,
      "Discord could not be reached",
    );
  }));

Deno.test("send-alert running several times at once sends each delivery once", () =>
  onStage(async (stage) => {
    const [discord, telegram] = [await addDiscord(stage), await addTelegram(stage)];
    for (let index = 0; index < 30; index++) {
      const incident = await addIncident(stage);
      await owe(stage, [incident], { config: discord });
      await owe(stage, [incident], { config: telegram, channel: "telegram" });
    }
    const runs = await Promise.all([1, 2, 3, 4].map(() => stage.run({}, { sql: stage.sql })));
    assert.equal(runs.reduce((sum, { sent }) => sum + sent, 0), 60);
    assert.equal(stage.sink.deliveries().length, 60);
    const texts = stage.sink.deliveries().map(({ channel, text }) =>
      `${channel} ${/job_\d+/.exec(text ?? "")?.[0]}`
    );
    assert.equal(new Set(texts).size, 60);
  }));

Deno.test("send-alert keeps the pace that a vendor wants", () =>
  onStage(async (stage) => {
    const config = await addTelegram(stage);
    for (let index = 0; index < 3; index++) {
      await owe(stage, [await addIncident(stage)], { config, channel: "telegram" });
    }
    let now = Date.now();
    const waits: number[] = [];
    const pause = (milliseconds: number) => {
      waits.push(milliseconds);
      now += milliseconds;
      return Promise.resolve();
    };
    await stage.run({}, {
      clock: () => new Date(now),
      deadline: new Date(now + 60_000),
      pause,
    });
    assert.deepEqual(waits, [1_050, 1_050]);
  }));

Deno.test("send-alert begins nothing when its time is nearly up", () =>
  onStage(async (stage) => {
    const id = await owe(stage, [await addIncident(stage)], { config: await addDiscord(stage) });
    const summary = await stage.run({}, { deadline: new Date(Date.now() + 5_000) });
    assert.equal(summary.deliveries.length, 0);
    const { state, attempts } = await row(stage, id);
    assert.deepEqual([state, attempts], ["due", 0]);
  }));

Deno.test("an end is not cancelled with its beginning while somebody else sends that", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage);
    const incident = await addIncident(stage);
    const opened = await owe(stage, [incident], { config, minutesAgo: 5 });
    await stage
      .sql`update incidents set opened_at = now() - interval '5 minutes', resolved_at = now(), resolution = 'recovered'`;
    const resolved = await owe(stage, [incident], { config, event: "resolved" });
    await stage.sql`update alert_deliveries set admitted_at = null where event = 'resolved'`;
    let other: Awaited<ReturnType<typeof claimDeliveries>> | undefined;
    // between the look of this run's policy and its word, another run takes the beginning
    const overtaken = watchSql(stage.hub, {
      before: async (query) => {
        if (!query.includes("apply_policy") || other !== undefined) return;
        other = await claimDeliveries(stage.hub, { limit: 1, leaseSeconds: 60 });
      },
    });
    await stage.run({}, { sql: overtaken });
    const [claimed] = other?.deliveries ?? [];
    assert.equal(claimed?.id, opened);
    await settleDelivery(stage.hub, claimed, { kind: "sent", providerId: "1" });
    await stage.run();
    assert.equal((await row(stage, resolved)).state, "sent");
  }));

Deno.test("a run takes on no more than it may, says how many are left, and the next ones finish them", () =>
  onStage(async (stage) => {
    const [discord, telegram] = [await addDiscord(stage), await addTelegram(stage)];
    for (let index = 0; index < 5; index++) {
      await owe(stage, [await addIncident(stage)], { config: discord });
      await owe(stage, [await addIncident(stage)], { config: telegram, channel: "telegram" });
    }
    await stage.sql`update alert_deliveries set admitted_at = now()`;
    const seen: [sent: number, left: number | undefined][] = [];
    for (let run = 0; run < 4; run++) {
      const { sent, left } = await stage.run({}, { effortLimit: 4 });
      seen.push([sent, left]);
    }
    assert.deepEqual(seen, [[4, 6], [4, 2], [2, 0], [0, 0]]);
    const rows = await stage.sql`select distinct state, attempts from alert_deliveries`;
    assert.deepEqual(rows.map((one) => ({ ...one })), [{ state: "sent", attempts: 1 }]);
    assert.equal(stage.sink.deliveries().length, 10);
  }));

Deno.test("a delivery that tells of many incidents counts for more than one", () =>
  onStage(async (stage) => {
    const config = await addDiscord(stage);
    for (let index = 0; index < 3; index++) {
      const incidents = await Promise.all(Array.from({ length: 41 }, () => addIncident(stage)));
      await owe(stage, incidents, { config });
    }
    await stage.sql`update alert_deliveries set admitted_at = now()`;
    const { sent, left } = await stage.run({}, { effortLimit: 4 });
    assert.deepEqual([sent, left], [2, 1]);
  }));

Deno.test("nothing is sent once the lease may end before it is settled; it is as if it had never been claimed", () =>
  onStage(async (stage) => {
    const id = await owe(stage, [await addIncident(stage)], { config: await addDiscord(stage) });
    let now = Date.now();
    // the hub takes its time to store what is rendered, and the run has much of it
    const slow = watchSql(stage.hub, {
      before: (query) => void (now += query.includes("store_rendered") ? 110_000 : 0),
    });
    const late = { clock: () => new Date(now), deadline: new Date(now + 200_000), sql: slow };
    await stage.run({}, { ...late, effortLimit: 1 });
    assert.equal(stage.sink.deliveries().length, 0);
    const { state, attempts, leased } = await row(stage, id);
    assert.deepEqual([state, attempts, leased], ["due", 0, null]);
    assert.equal((await stage.run()).sent, 1);
  }));

Deno.test("what a vendor wants instead is sent at the next attempt when there is no time left for it", () =>
  onStage(async (stage) => {
    const id = await owe(stage, [await addIncident(stage)], {
      config: await addTelegram(stage),
      channel: "telegram",
    });
    const description = "Bad Request: can't parse entities: Unsupported start tag";
    stage.sink.script("telegram", [{ status: 400, body: { ok: false, error_code: 400, description } }]);
    let now = Date.now();
    const slow: typeof fetch = async (...request) => {
      const response = await fetch(...request);
      now += 110_000;
      return response;
    };
    await stage.run({}, { clock: () => new Date(now), deadline: new Date(now + 200_000), fetch: slow });
    assert.match((await row(stage, id)).last_error ?? "", /no time left/);
    await makeDue(stage);
    assert.equal((await stage.run()).sent, 1);
    const [, second] = stage.sink.deliveries();
    assert.equal((second?.raw as Record<string, unknown>).parse_mode, undefined);
  }));

Deno.test("an attempt whose connection was refused leaves no doubt: nobody has the message", () =>
  onStage(async (stage) => {
    await owe(stage, [await addIncident(stage)], { config: await addDiscord(stage) });
    const elsewhere: typeof fetch = (_, init) => fetch(`http://${REFUSING_HOST}/`, init);
    await stage.run({}, { fetch: elsewhere });
    const [found] = await stage.sql`select attempts, uncertain_attempts as uncertain from alert_deliveries`;
    assert.deepEqual({ ...found }, { attempts: 1, uncertain: 0 });
  }));

Deno.test("what had no row of alert_config is routed as soon as one takes it", () =>
  onStage(async (stage) => {
    const incident = await addIncident(stage, { severity: "critical" });
    const lastError = 'No enabled row of alert_config takes severity "critical"';
    const id = await owe(stage, [incident], {
      config: null,
      channel: null,
      state: "unroutable",
      error: lastError,
    });
    const before = await stage.run();
    assert.deepEqual([before.sent, before.unroutable], [0, 1]);
    assert.equal(before.deliveries[0]?.error, lastError);
    await addDiscord(stage, { criticality: "low" });
    assert.equal((await stage.run()).unroutable, 1);
    const [telegram, discord] = [
      await addTelegram(stage, { criticality: "critical" }),
      await addDiscord(stage),
    ];
    const after = await stage.run();
    assert.deepEqual([after.sent, after.unroutable], [2, 0]);
    assert.equal((await row(stage, id)).alert_config_id, telegram);
    const [{ state } = {}] = await stage.sql<{ state: string }[]>`
      select state from alert_deliveries where alert_config_id = ${discord}`;
    assert.equal(state, "sent");
  }));

Deno.test("a delivery whose row was disabled goes to another that fits, unless that tells it already", () =>
  onStage(async (stage) => {
    const [discord, telegram] = [await addDiscord(stage), await addTelegram(stage)];
    const [both, one] = [await addIncident(stage), await addIncident(stage)];
    const told = await owe(stage, [both], { config: discord });
    await stage.sql`
      with copy as (
        insert into alert_deliveries (alert_config_id, channel, event, created_at)
        select ${telegram}::uuid, 'telegram', 'opened', created_at from alert_deliveries where id = ${told} returning id)
      insert into delivery_incidents select id, ${both}::uuid from copy`;
    const moved = await owe(stage, [one], { config: discord });
    await stage.sql`update alert_config set enabled = false where id = ${discord}`;
    const summary = await stage.run();
    assert.equal(summary.sent, 2);
    const [a, b] = [await row(stage, told), await row(stage, moved)];
    assert.deepEqual([a.state, a.last_error], ["cancelled", "Another row of alert_config tells the same"]);
    assert.deepEqual([b.state, b.alert_config_id], ["sent", telegram]);
  }));

Deno.test("news of an incident that ended before any row took it is cancelled, with the reason", () =>
  onStage(async (stage) => {
    const incident = await addIncident(stage, { resolved_at: new Date(), resolution: "recovered" });
    const unroutable = { config: null, channel: null, state: "unroutable", error: "nothing took it" };
    const ids = [
      await owe(stage, [incident], { ...unroutable, minutesAgo: 5 }),
      await owe(stage, [incident], { ...unroutable, event: "resolved" }),
    ];
    await addDiscord(stage);
    const summary = await stage.run();
    assert.deepEqual([summary.sent, summary.unroutable], [0, 0]);
    for (const id of ids) {
      const { state, last_error } = await row(stage, id);
      assert.equal(state, "cancelled");
      assert.match(last_error ?? "", /ended before any enabled row/);
    }
  }));

Deno.test("a dry run answers what would be sent, and changes nothing", () =>
  onStage(async (stage) => {
    const id = await owe(stage, [await addIncident(stage)], { config: await addDiscord(stage) });
    const summary = await stage.run({ dry_run: true });
    assert.equal(summary.deliveries[0]?.id, id);
    assert.match(summary.deliveries[0]?.text ?? "", /^FAILED: job_\d+ in smoothed · important/);
    assert.equal(stage.sink.deliveries().length, 0);
    const { state, attempts, rendered } = await row(stage, id);
    assert.deepEqual([state, attempts, rendered], ["due", 0, null]);
    assert.equal((await stage.run()).sent, 1);
  }));

Deno.test("a dry run decides like any other and leaves nothing of it, in the rows or in the log", () =>
  onStage(async (stage) => {
    const id = await owe(stage, [await addIncident(stage)], { config: await addDiscord(stage) });
    await stage.sql`update alert_deliveries set admitted_at = null`;
    const before = await stage.sql`select to_jsonb(d) as row from alert_deliveries d`;
    const summary = await stage.run({ dry_run: true });
    assert.equal(summary.deliveries[0]?.id, id);
    assert.deepEqual(await stage.sql`select to_jsonb(d) as row from alert_deliveries d`, before);
    assert.deepEqual(stage.logged, []);
  }));

Deno.test("a dry run that another tick overtakes shows what that one decided", () =>
  onStage(async (stage) => {
    const id = await owe(stage, [await addIncident(stage)], { config: await addDiscord(stage) });
    await stage.sql`update alert_deliveries set admitted_at = null`;
    const overtaken = watchSql(stage.hub, {
      before: async (query) => {
        if (!query.includes("preview_deliveries")) return;
        await stage.sql`update monitoring.policy_state set version = version + 1`;
        await stage.sql`update alert_deliveries set admitted_at = now()`;
      },
    });
    const { deliveries } = await stage.run({ dry_run: true }, { sql: overtaken });
    assert.deepEqual(deliveries.map((one) => one.id), [id]);
  }));

Deno.test("a test alert goes through every enabled row of its channel, and says what happened", () =>
  onStage(async (stage) => {
    const [good, bad, off] = [
      await addDiscord(stage),
      await addDiscord(stage, { webhook_url: "env:NOT_SET" }),
      await addDiscord(stage, { enabled: false }),
    ];
    await addTelegram(stage);
    const summary = await stage.run({ test: { channel: "discord" } });
    assert.deepEqual([summary.sent, summary.failed], [1, 1]);
    assert.deepEqual(
      summary.deliveries.map(({ alert_config_id, state, error }) => [alert_config_id, state, error]),
      [
        [good, "sent", undefined],
        [bad, "failed", 'Cannot resolve "env:NOT_SET": there is no function secret of that name'],
      ],
    );
    assert.match(stage.sink.deliveries()[0]?.text ?? "", /TEST: alerts reach this channel/);
    const named = await stage.run({ test: { channel: "discord", alert_config_id: off } });
    assert.deepEqual(named.deliveries.map(({ alert_config_id, state }) => [alert_config_id, state]), [[
      off,
      "sent",
    ]]);
    assert.equal((await stage.run()).deliveries.length, 0, "nothing of it is kept");
  }));

Deno.test("a test alert without a row to send it through is not found", () =>
  onStage(async (stage) => {
    await addDiscord(stage, { enabled: false });
    await assert.rejects(stage.run({ test: { channel: "discord" } }), { code: "not_found" });
    const unknown = crypto.randomUUID();
    await assert.rejects(stage.run({ test: { channel: "discord", alert_config_id: unknown } }), {
      code: "not_found",
    });
  }));

Deno.test("no secret is in any log line, row or answer of a faulty run", () =>
  onStage(async (stage) => {
    const { sink } = stage;
    const secret = sink.discordWebhookUrl.split("/").at(-1) ?? "";
    const secrets = [secret, sink.telegramBotToken, sink.telegramBotToken.split(":")[1] ?? ""];
    stage.env.BOT = sink.telegramBotToken;
    const [discord, telegram] = [
      await addDiscord(stage),
      await addTelegram(stage, { bot_token: "env:BOT" }),
    ];
    for (let index = 0; index < 8; index++) {
      await owe(stage, [await addIncident(stage)], { config: discord });
      await owe(stage, [await addIncident(stage)], { config: telegram, channel: "telegram" });
    }
    const echo = `${sink.discordWebhookUrl} https://api.telegram.org/bot${sink.telegramBotToken}/sendMessage`;
    const faults = [
      { status: 500, body: echo },
      { status: 400, body: { ok: false, message: echo, code: 50035, description: `Bad Request: ${echo}` } },
      { destroy: true },
      { status: 429, body: { message: echo, ok: false, description: echo } },
      { status: 200, body: `<html>${echo}` },
      { status: 404, body: echo },
    ];
    sink.script("discord", faults);
    sink.script("telegram", faults);
    const answers = [];
    for (let round = 0; round < 6; round++) {
      answers.push(await stage.run());
      await makeDue(stage);
    }
    const rows = await stage.sql`select to_jsonb(d) as kept from alert_deliveries d`;
    const everything = JSON.stringify([answers, stage.logged, rows]);
    for (const hidden of secrets) assert.ok(!everything.includes(hidden));
    assert.ok(everything.includes("***"));
  }));
