/** Telegram's buttons, from the alert to the press to what the hub keeps and Telegram shows. */
import assert from "node:assert/strict";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import { openHub } from "../../supabase/functions/_shared/hub/client.ts";
import {
  type PressDeps,
  type PressReport,
  runTelegramWebhook,
  telegramUpdate,
} from "../../supabase/functions/telegram-webhook/run.ts";
import type { TelegramPress } from "../fakes/telegram.ts";
import { recordingLog } from "../support/functions.ts";
import { addIncident, addTelegram, onStage, owe, row, type Stage } from "../support/outbox.ts";

const SECRET = { TELEGRAM_WEBHOOK_SECRET: "a-long-secret_0123456789" };
const DANA = "Dana Lee (@dana, Telegram 4711)";
const FRESH = [["Acknowledge"], ["Silence 1 h", "Silence 1 day"], ["False alarm"]];

/** A stage on which presses are heard, with an alert of so many incidents that Telegram has. */
async function onPressStage(
  incidents: number,
  test: (stage: Stage, alert: { delivery: string; incidents: string[]; messageId: number }) => Promise<void>,
): Promise<void> {
  await onStage(async (stage) => {
    Object.assign(stage.env, SECRET);
    const config = await addTelegram(stage);
    const ids = await Array.fromAsync({ length: incidents }, () => addIncident(stage));
    const delivery = await owe(stage, ids, { config, channel: "telegram" });
    assert.equal((await stage.run()).sent, 1);
    const messageId = Number((await row(stage, delivery)).provider_id);
    await test(stage, { delivery, incidents: ids, messageId });
  });
}

function depsOf({ hub, sink, env }: Stage): PressDeps {
  return {
    sql: hub,
    log: recordingLog(),
    config: { outgoingAllowedHosts: [new URL(sink.url).host], secret: (name) => env[name] },
  };
}

function press(stage: Stage, pressed: TelegramPress, over: Partial<PressDeps> = {}): Promise<PressReport> {
  const update = telegramUpdate.parse(stage.sink.telegram.press(pressed));
  return runTelegramWebhook({ ...depsOf(stage), ...over }, update);
}

/** What Telegram was asked since the alert, as its reader sees it. */
function shown({ sink }: Stage): string[] {
  return sink.deliveries().slice(1).map(({ accepted, text }) => `${accepted ? "" : "REFUSED "}${text}`)
    .sort();
}

async function incidentRows({ sql }: Stage) {
  return (await sql`
    select acknowledged_by, acknowledgement_note, false_alarm_by, resolved_at from incidents order by opened_at, id`)
    .map((found) => ({ ...found }));
}

Deno.test("an alert has no buttons while no secret is there with which presses could be heard", () =>
  onStage(async (stage) => {
    const config = await addTelegram(stage);
    await owe(stage, [await addIncident(stage)], { config, channel: "telegram" });
    await stage.run();
    assert.deepEqual(stage.sink.telegram.buttonsOf(1), []);
  }));

Deno.test("Acknowledge: the incident is taken on, the person told so, and the button says who", () =>
  onPressStage(1, async (stage, { messageId }) => {
    assert.deepEqual(stage.sink.telegram.buttonsOf(messageId), FRESH);
    const report = await press(stage, { messageId, button: "Acknowledge" });
    assert.deepEqual(report, { handled: true, notes: [] });
    assert.deepEqual(await incidentRows(stage), [{
      acknowledged_by: DANA,
      acknowledgement_note: "in Telegram",
      false_alarm_by: null,
      resolved_at: null,
    }]);
    assert.deepEqual(stage.sink.telegram.buttonsOf(messageId), [
      ["✓ Acknowledged by Dana Lee"],
      ...FRESH.slice(1),
    ]);
    assert.equal(shown(stage)[1], "answer: Acknowledged: no more reminders, only the end is told");
  }));

Deno.test("a press that Telegram tells twice, or two people make, is done once", () =>
  onPressStage(1, async (stage, { messageId }) => {
    const update = telegramUpdate.parse(
      stage.sink.telegram.press({ messageId, button: "Silence 1 h" }),
    );
    const first = await runTelegramWebhook(depsOf(stage), update);
    const again = await runTelegramWebhook(depsOf(stage), update);
    assert.deepEqual(first.notes, []);
    assert.match(again.notes.join(), /query is too old/, "its spinner was stopped by the first");
    const eve = { id: 9, is_bot: false, first_name: "Eve" };
    await press(stage, { messageId, button: "Silence 1 h", from: eve });
    const silences = await stage.sql`
      select project_name, job_pattern, created_by, reason,
             round(extract(epoch from ends_at - starts_at) / 60)::int as minutes from silences`;
    assert.equal(silences.length, 1);
    assert.deepEqual({ ...silences[0], job_pattern: null }, {
      project_name: "smoothed",
      job_pattern: null,
      created_by: DANA,
      reason: "pressed in Telegram",
      minutes: 60,
    });
    await press(stage, { messageId, button: "Silence 1 day", from: eve });
    const [longest] = await stage.sql`
      select created_by, ends_at > now() + interval '23 hours' as a_day from silences order by ends_at desc limit 1`;
    assert.deepEqual({ ...longest }, { created_by: "Eve (Telegram 9)", a_day: true });
    assert.match(stage.sink.telegram.buttonsOf(messageId)[1]?.[0] ?? "", /^🔕 Silenced until 20/);
  }));

Deno.test("a job's name with * or ? in it is silenced as that name", () =>
  onPressStage(1, async (stage, { messageId }) => {
    await stage.sql`update job_inventory set job_name = 'a*b?\\c'`;
    await press(stage, { messageId, button: "Silence 1 h" });
    const [silence] = await stage.sql`select job_pattern from silences`;
    assert.equal(silence?.job_pattern, "a\\*b\\?\\\\c");
    const [same] = await stage.sql`
      select monitoring.silence_incident((select id from incidents), now() + interval '1 hour', 'x', 'y') as id`;
    const [theirs] = await stage.sql`select job_pattern from silences where id = ${same?.id}`;
    assert.equal(theirs?.job_pattern, silence?.job_pattern, "as silence_incident() writes it");
  }));

Deno.test("a message of several incidents: a press is about all of them that still hold", () =>
  onPressStage(5, async (stage, { messageId, incidents: [first = "", ...others] }) => {
    await stage.sql`update incidents set resolved_at = now(), resolution = 'recovered' where id = ${first}`;
    await press(stage, { messageId, button: "Acknowledge" });
    const acknowledged = await stage.sql`select id from incidents where acknowledged_by = ${DANA}`;
    assert.deepEqual(acknowledged.map(({ id }) => id).sort(), others.toSorted());
    await press(stage, { messageId, button: "Silence 1 day" });
    const [silences] = await stage.sql`select count(*)::int as jobs from silences`;
    assert.equal(silences?.jobs, 4, "one for each job");
    const answers = shown(stage).filter((text) => text.startsWith("answer"));
    assert.match(answers[0] ?? "", /4 incidents acknowledged: .*; 1 of 5 is over$/);
    assert.match(answers[1] ?? "", /Silenced until .* UTC; 1 of 5 is over$/);
  }));

Deno.test("False alarm: marked and acknowledged; after the end it can still be told", () =>
  onPressStage(1, async (stage, { messageId, incidents: [id = ""] }) => {
    await stage.sql`update incidents set resolved_at = now(), resolution = 'recovered' where id = ${id}`;
    await press(stage, { messageId, button: "Acknowledge" });
    assert.match(
      shown(stage).find((text) => text.startsWith("answer")) ?? "",
      /^answer: Nothing to do: It is over/,
    );
    const [over] = await incidentRows(stage);
    assert.deepEqual([over?.acknowledged_by, over?.false_alarm_by], [null, null]);
    const [status, rest] = stage.sink.telegram.buttonsOf(messageId);
    assert.match(status?.[0] ?? "", /^✓ It is over since/);
    assert.deepEqual(rest, ["False alarm"]);
    await press(stage, { messageId, button: "False alarm" });
    assert.equal((await incidentRows(stage))[0]?.false_alarm_by, DANA);
    assert.deepEqual(stage.sink.telegram.buttonsOf(messageId)[1], ["✓ False alarm: Dana Lee"]);
  }));

Deno.test("a press from elsewhere than where the message was sent does nothing", async (t) => {
  const elsewhere: [what: string, spoil: (stage: Stage) => Promise<unknown> | unknown, reason: RegExp][] = [
    [
      "another chat",
      ({ sql }) => sql`update alert_config set chat_id = '-100999'`,
      /a chat that the message was not sent to/,
    ],
    ["a row that is disabled", ({ sql }) => sql`update alert_config set enabled = false`, /no enabled row/],
    ["a row that is gone", ({ sql }) => sql`delete from alert_config`, /no enabled row/],
    [
      "a row whose secret is gone",
      ({ sql }) => sql`update alert_config set chat_id = 'env:NOWHERE'`,
      /Cannot resolve "env:NOWHERE"/,
    ],
  ];
  for (const [what, spoil, reason] of elsewhere) {
    await t.step(what, () =>
      onPressStage(1, async (stage, { messageId }) => {
        await spoil(stage);
        const report = await press(stage, { messageId, button: "Acknowledge" });
        assert.equal(report.handled, false);
        assert.match(report.notes.join(), reason);
        assert.equal((await incidentRows(stage))[0]?.acknowledged_by, null);
        assert.deepEqual(shown(stage), [], "nobody is answered");
      }));
  }
});

Deno.test("bot and chat may be references, the chat a channel's @name, or the id that a group moved to", () =>
  onPressStage(1, async (stage, { messageId, delivery }) => {
    Object.assign(stage.env, { BOT: stage.sink.telegramBotToken, CHAT: stage.sink.telegramChatId });
    await stage.sql`update alert_config set bot_token = 'env:BOT', chat_id = 'env:CHAT'`;
    const handled = async () => {
      const update = telegramUpdate.parse(stage.sink.telegram.press({ messageId, button: "Silence 1 h" }));
      const chat = update.callback_query?.message?.chat;
      if (chat !== undefined) chat.username = "Alerts";
      return (await runTelegramWebhook(depsOf(stage), update)).handled;
    };
    assert.equal(await handled(), true);
    await stage.sql`update alert_config set chat_id = '@alerts'`;
    assert.equal(await handled(), true);
    await stage.sql`update alert_config set chat_id = '-1'`;
    assert.equal(await handled(), false);
    await stage.sql`
      update alert_deliveries set rendered = jsonb_set(rendered, '{body,chat_id}', ${stage.sink.telegramChatId}::text::jsonb)
      where id = ${delivery}`;
    assert.equal(await handled(), true);
  }));

Deno.test("what is no press of ours is passed over, and changes nothing", () =>
  onPressStage(1, async (stage, { messageId, delivery }) => {
    const pressed = stage.sink.telegram.press({ messageId, button: "Acknowledge" });
    const query = pressed.callback_query as Record<string, unknown>;
    const updates = [
      { update_id: 1, message: { text: "/start" } },
      { update_id: 2, callback_query: { ...query, data: "a:1" } },
      { update_id: 3, callback_query: { ...query, data: undefined } },
      { update_id: 4, callback_query: { ...query, message: undefined } },
      { update_id: 5, callback_query: { ...query, data: `a:${crypto.randomUUID()}` } },
    ];
    for (const update of updates) {
      const report = await runTelegramWebhook(depsOf(stage), telegramUpdate.parse(update));
      assert.equal(report.handled, false);
    }
    assert.equal((await incidentRows(stage))[0]?.acknowledged_by, null);
    const bad = [
      {},
      { update_id: "1" },
      { update_id: 1, callback_query: { ...query, data: "x".repeat(65) } },
      {
        update_id: 1,
        callback_query: { ...query, id: "1'; --" },
      },
    ];
    for (const update of bad) assert.equal(telegramUpdate.safeParse(update).success, false);
    assert.equal((await row(stage, delivery)).state, "sent");
  }));

Deno.test("a press is kept even when Telegram cannot show it; no secret is told of why", () =>
  onPressStage(1, async (stage, { messageId }) => {
    stage.sink.script("telegram", [{ status: 502, body: `bot${stage.sink.telegramBotToken}` }, {
      destroy: true,
    }]);
    const log = recordingLog();
    const report = await press(stage, { messageId, button: "Acknowledge" }, { log });
    assert.equal(report.handled, true);
    assert.equal(report.notes.length, 2);
    assert.equal((await incidentRows(stage))[0]?.acknowledged_by, DANA);
    assert.ok(!JSON.stringify([report, log.lines]).includes(stage.sink.telegramBotToken));
  }));

Deno.test("a hub that does not answer is an error, so that Telegram tells of the press again", () =>
  onPressStage(1, async (stage, { messageId }) => {
    const sql = openHub({ databaseUrl: "postgresql://x@127.0.0.1:1/x", caCert: null });
    await assert.rejects(
      press(stage, { messageId, button: "Acknowledge" }, { sql }),
      (error) => error instanceof AppError && error.code === "hub_unreachable",
    );
    await sql.end();
  }));

Deno.test("Telegram's webhook is set only to https, with a secret of its letters", () =>
  onStage(async ({ sink }) => {
    const set = async (body: Record<string, unknown>) => {
      const response = await fetch(`${sink.url}/bot${sink.telegramBotToken}/setWebhook`, {
        method: "POST",
        body: JSON.stringify(body),
      });
      return [response.status, (await response.json()).description];
    };
    const url = "https://abc.supabase.co/functions/v1/telegram-webhook";
    assert.deepEqual(await set({ url, secret_token: SECRET.TELEGRAM_WEBHOOK_SECRET }), [200, undefined]);
    assert.equal((await set({ url: url.replace("https", "http") }))[0], 400);
    assert.equal((await set({ url, secret_token: "with blank" }))[0], 400);
  }));
