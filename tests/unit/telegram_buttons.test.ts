/** The buttons under a Telegram alert, and what a press of one is answered. */
import assert from "node:assert/strict";
import { telegram } from "../../supabase/functions/_shared/channels/telegram.ts";
import {
  faultOf,
  freshKeyboard,
  keyboardFor,
  pressAnswer,
  readPress,
} from "../../supabase/functions/_shared/channels/telegram_buttons.ts";
import { pressAction, type PressState } from "../../supabase/functions/_shared/domain/press.ts";
import { HOSTILE, message } from "../support/alerts.ts";

const DELIVERY = "6f1d9c1e-4b0a-4f57-9d3f-1d2f7c0a9b11";
const NOON = Date.UTC(2026, 10, 21, 12, 0, 31);
const DANA = "Dana Lee (@dana, Telegram 4711)";

function state(over: Partial<PressState> = {}): PressState {
  return {
    incidents: 1,
    open: 1,
    changed: 0,
    acknowledged: 0,
    acknowledgedBy: [],
    falseAlarms: 0,
    falseAlarmBy: [],
    silencedUntil: null,
    endedAt: null,
    ...over,
  };
}

function labels(over: Partial<PressState>): string[][] {
  return keyboardFor(DELIVERY, state(over)).inline_keyboard.map((row) => row.map(({ text }) => text));
}

Deno.test("a Telegram alert has buttons only where presses are heard, and only while there is something to do", () => {
  assert.equal(telegram.render(message()).body.reply_markup, undefined);
  for (const event of ["opened", "reminder"] as const) {
    const { body } = telegram.render(message({ event, pressed: DELIVERY }));
    assert.deepEqual(body.reply_markup, freshKeyboard(DELIVERY));
  }
  for (const event of ["resolved", "test"] as const) {
    assert.equal(telegram.render(message({ event, pressed: DELIVERY })).body.reply_markup, undefined);
  }
});

Deno.test("every button carries its action and the delivery within Telegram's 64 bytes", () => {
  const buttons = freshKeyboard(DELIVERY).inline_keyboard.flat();
  assert.deepEqual(
    buttons.map(({ text, callback_data }) => [text, readPress(callback_data)?.action]),
    [
      ["Acknowledge", "acknowledge"],
      ["Silence 1 h", "silence_hour"],
      ["Silence 1 day", "silence_day"],
      ["False alarm", "false_alarm"],
    ],
  );
  for (const { callback_data: data } of buttons) {
    assert.ok(new TextEncoder().encode(data).length <= 64);
    assert.equal(readPress(data)?.deliveryId, DELIVERY);
  }
});

Deno.test("readPress() takes nothing but what our buttons carry", () => {
  const others = [
    "",
    "a",
    "a:",
    `a:${DELIVERY} `,
    `x:${DELIVERY}`,
    `a:${DELIVERY.toUpperCase()}`,
    `a:${DELIVERY}'`,
    `a:${DELIVERY}\n`,
  ];
  for (const data of others) assert.equal(readPress(data), null, JSON.stringify(data));
});

Deno.test("what was done stands where its button was, without the person's number", () => {
  assert.deepEqual(labels({}), freshKeyboard(DELIVERY).inline_keyboard.map((row) => row.map((b) => b.text)));
  assert.deepEqual(labels({ acknowledged: 1, acknowledgedBy: [DANA] })[0], ["✓ Acknowledged by Dana Lee"]);
  assert.deepEqual(labels({ silencedUntil: NOON }).slice(1, 3), [
    ["🔕 Silenced until 2026-11-21 12:00 UTC"],
    ["Silence 1 h", "Silence 1 day"],
  ]);
  assert.deepEqual(labels({ falseAlarms: 1, falseAlarmBy: [DANA] }).at(-1), ["✓ False alarm: Dana Lee"]);
});

Deno.test("of several incidents, a button stays until all of them are done with", () => {
  const some = { incidents: 5, open: 4, acknowledged: 3, acknowledgedBy: [DANA, "Eve"] };
  assert.deepEqual(labels(some)[0], ["Acknowledge"]);
  assert.deepEqual(labels({ ...some, acknowledged: 4 })[0], ["✓ Acknowledged by Dana Lee and 1 more"]);
});

Deno.test("when all is over, the buttons say so and only a false alarm can still be told", () => {
  assert.deepEqual(labels({ open: 0, endedAt: NOON }), [
    ["✓ It is over since 2026-11-21 12:00 UTC"],
    ["False alarm"],
  ]);
  assert.deepEqual(labels({ incidents: 3, open: 0, endedAt: NOON })[0], [
    "✓ All 3 are over since 2026-11-21 12:00 UTC",
  ]);
});

Deno.test("whoever presses reads what was done, what had been done, or that it is over", () => {
  const told = (action: Parameters<typeof pressAnswer>[0], over: Partial<PressState>) =>
    pressAnswer(action, state(over));
  const done = { acknowledged: 1, acknowledgedBy: [DANA] };
  assert.equal(
    told("acknowledge", { ...done, changed: 1 }),
    "Acknowledged: no more reminders, only the end is told",
  );
  assert.equal(told("acknowledge", done), "Acknowledged by Dana Lee");
  assert.equal(
    told("acknowledge", { incidents: 5, open: 3, acknowledged: 3, changed: 3, acknowledgedBy: [DANA] }),
    "3 incidents acknowledged: no more reminders, only the end is told; 2 of 5 are over",
  );
  assert.equal(
    told("silence_hour", { changed: 1, silencedUntil: NOON }),
    "Silenced until 2026-11-21 12:00 UTC",
  );
  assert.equal(told("look", {}), "Nobody has acknowledged this, not silenced");
  assert.equal(
    told("silence_day", { open: 0, endedAt: NOON }),
    "Nothing to do: It is over since 2026-11-21 12:00 UTC",
  );
  assert.equal(told("false_alarm", { changed: 1 }), "Marked as a false alarm");
  assert.equal(
    told("false_alarm", { falseAlarmBy: [DANA], open: 0, endedAt: NOON }),
    "A false alarm already, says Dana Lee. It is over since 2026-11-21 12:00 UTC",
  );
  assert.equal(told("acknowledge", { incidents: 0, open: 0 }), "This incident is no longer kept");
});

for (const [what, text] of Object.entries(HOSTILE)) {
  Deno.test(`a person may be called ${what}: labels and answers keep Telegram's limits`, () => {
    const by = { acknowledgedBy: [text], falseAlarmBy: [text], acknowledged: 1, falseAlarms: 1 };
    for (const { text: label } of keyboardFor(DELIVERY, state(by)).inline_keyboard.flat()) {
      assert.ok(label.length > 0 && label.length <= 64 && label.isWellFormed());
    }
    for (const action of pressAction.options) {
      const answer = pressAnswer(action, state(by));
      assert.ok(answer.length <= 200 && answer.isWellFormed());
    }
  });
}

Deno.test("faultOf() takes buttons that were changed before for done, and says what else went wrong", () => {
  const answer = (status: number, description?: string) =>
    ({
      kind: "response",
      status,
      json: { ok: status === 200, description },
      excerpt: "",
      retryAfterMs: null,
    }) as const;
  assert.equal(faultOf(answer(200)), null);
  assert.equal(faultOf(answer(400, "Bad Request: message is not modified: …")), null);
  assert.equal(faultOf(answer(400, "Bad Request: x")), "Telegram answered 400: Bad Request: x");
  assert.equal(faultOf({ kind: "timeout" }), "Telegram did not answer in time");
  assert.equal(faultOf({ kind: "network" }), "Telegram could not be reached");
});
