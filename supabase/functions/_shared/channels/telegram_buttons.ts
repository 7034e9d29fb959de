/**
 * The buttons under a Telegram alert: what they say, what a press of one means, and what Telegram is answered. Limits:
 * Telegram's Bot API, `InlineKeyboardButton`, `answerCallbackQuery`, `editMessageReplyMarkup`.
 */
import { z } from "zod";
import type { PressAction, PressState } from "../domain/press.ts";
import { cut, formatUtc, oneLine } from "../rules/text.ts";
import type { OutgoingRequest, VendorAnswer } from "./channel.ts";

/** The function secret without which no press is taken, and so no message has buttons. */
export const PRESS_SECRET = "TELEGRAM_WEBHOOK_SECRET";

/** UTF-16 units of a button's text, so that a phone shows it whole. */
const LABEL_LIMIT = 60;
/** UTF-16 units of the answer to a press: Telegram takes 200. */
const ANSWER_LIMIT = 190;
/** UTF-16 units of a person's name where several are told. */
const NAME_LIMIT = 40;

/** What a button carries: a letter, and the delivery's id; Telegram takes 64 bytes. */
const CODES = {
  a: "acknowledge",
  h: "silence_hour",
  d: "silence_day",
  f: "false_alarm",
  i: "look",
} as const satisfies Record<string, PressAction>;

const pressData = z.string().regex(/^[ahdfi]:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

interface Button {
  text: string;
  callback_data: string;
}

/** A keyboard as Telegram takes it. */
export interface Keyboard {
  inline_keyboard: Button[][];
}

/**
 * What a press means.
 *
 * @param data As the button carried it; `null` where it is none of ours.
 */
export function readPress(data: string): { action: PressAction; deliveryId: string } | null {
  if (!pressData.safeParse(data).success) return null;
  const [code, deliveryId = ""] = data.split(":");
  const action = Object.entries(CODES).find(([letter]) => letter === code)?.[1];
  return action === undefined ? null : { action, deliveryId };
}

/** The buttons of a message that nobody has pressed. */
export function freshKeyboard(deliveryId: string): Keyboard {
  return {
    inline_keyboard: [
      [button("Acknowledge", "acknowledge", deliveryId)],
      silenceButtons(deliveryId),
      [button("False alarm", "false_alarm", deliveryId)],
    ],
  };
}

/** The buttons that are of use once the incidents are so; what was done stands where its button was. */
export function keyboardFor(deliveryId: string, state: PressState): Keyboard {
  const falseAlarm = state.incidents > 0 && state.falseAlarms === state.incidents
    ? button(`✓ False alarm: ${people(state.falseAlarmBy)}`, "look", deliveryId)
    : button("False alarm", "false_alarm", deliveryId);
  if (state.open === 0) {
    return { inline_keyboard: [[button(`✓ ${overText(state)}`, "look", deliveryId)], [falseAlarm]] };
  }
  const acknowledge = state.acknowledged === state.open
    ? button(`✓ Acknowledged by ${people(state.acknowledgedBy)}`, "look", deliveryId)
    : button("Acknowledge", "acknowledge", deliveryId);
  const silenced = state.silencedUntil === null
    ? []
    : [[button(`🔕 Silenced until ${time(state.silencedUntil)}`, "look", deliveryId)]];
  return {
    inline_keyboard: [[acknowledge], ...silenced, silenceButtons(deliveryId), [falseAlarm]],
  };
}

/** What the person who pressed reads at once, up to 200 characters. */
export function pressAnswer(action: PressAction, state: PressState): string {
  return cut(oneLine(answerOf(action, state)), ANSWER_LIMIT);
}

function answerOf(action: PressAction, state: PressState): string {
  if (state.incidents === 0) return "This incident is no longer kept";
  if (action === "false_alarm") {
    const said = state.changed > 0
      ? `Marked as a false alarm${state.incidents > 1 ? ` (${state.changed} incidents)` : ""}`
      : `A false alarm already, says ${people(state.falseAlarmBy)}`;
    return state.open === 0 ? `${said}. ${overText(state)}` : said;
  }
  if (state.open === 0) return `Nothing to do: ${overText(state)}`;
  const over = state.incidents - state.open;
  const rest = over > 0 ? `; ${over} of ${state.incidents} ${over === 1 ? "is" : "are"} over` : "";
  if (action === "acknowledge" && state.changed > 0) {
    const many = state.changed > 1 ? `${state.changed} incidents acknowledged` : "Acknowledged";
    return `${many}: no more reminders, only the end is told${rest}`;
  }
  const acknowledged = state.acknowledged === 0
    ? "Nobody has acknowledged this"
    : `Acknowledged by ${people(state.acknowledgedBy)}`;
  if (action === "acknowledge") return `${acknowledged}${rest}`;
  const silenced = state.silencedUntil === null
    ? "not silenced"
    : `silenced until ${time(state.silencedUntil)}`;
  return action === "look"
    ? `${acknowledged}, ${silenced}${rest}`
    : `${silenced.replace(/^./, (letter) => letter.toUpperCase())}${rest}`;
}

function overText({ incidents, endedAt }: PressState): string {
  const what = incidents === 1 ? "It is over" : `All ${incidents} are over`;
  return endedAt === null ? what : `${what} since ${time(endedAt)}`;
}

function silenceButtons(deliveryId: string): Button[] {
  return [
    button("Silence 1 h", "silence_hour", deliveryId),
    button("Silence 1 day", "silence_day", deliveryId),
  ];
}

function button(text: string, action: PressAction, deliveryId: string): Button {
  const code = Object.entries(CODES).find(([, meant]) => meant === action)?.[0] ?? "i";
  return { text: cut(oneLine(text), LABEL_LIMIT), callback_data: `${code}:${deliveryId}` };
}

function people(names: readonly string[]): string {
  const [first = "somebody", ...others] = names;
  // the number that a name is kept with says nothing to people
  const shown = cut(oneLine(first.replace(/ \(.*\)$/, "")), NAME_LIMIT);
  return others.length === 0 ? shown : `${shown} and ${others.length} more`;
}

function time(at: number): string {
  return formatUtc(new Date(Math.floor(at / 60_000) * 60_000));
}

/** Where Telegram's API is, and who speaks to it. */
export interface BotAddress {
  apiUrl: string;
  botToken: string;
}

/** Shows an answer to the person who pressed, once. */
export function answerRequest(bot: BotAddress, pressId: string, text: string): OutgoingRequest {
  return requestOf(bot, "answerCallbackQuery", { callback_query_id: pressId, text });
}

/** Replaces the buttons of a message. */
export function keyboardRequest(
  bot: BotAddress,
  message: { chatId: number; messageId: number },
  keyboard: Keyboard,
): OutgoingRequest {
  return requestOf(bot, "editMessageReplyMarkup", {
    chat_id: message.chatId,
    message_id: message.messageId,
    reply_markup: keyboard,
  });
}

function requestOf({ apiUrl, botToken }: BotAddress, method: string, body: object): OutgoingRequest {
  return {
    url: `${apiUrl.replace(/\/+$/, "")}/bot${botToken}/${method}`,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
}

const answerBody = z.object({ ok: z.boolean(), description: z.string().optional() });

/** What went wrong; `null` where Telegram did as asked, or had done so before. */
export function faultOf(answer: VendorAnswer): string | null {
  if (answer.kind !== "response") {
    return answer.kind === "timeout" ? "Telegram did not answer in time" : "Telegram could not be reached";
  }
  const said = answerBody.safeParse(answer.json).data;
  if (answer.status === 200 && said?.ok === true) return null;
  const reason = said?.description ?? answer.excerpt;
  return /message is not modified/i.test(reason) ? null : `Telegram answered ${answer.status}: ${reason}`;
}
