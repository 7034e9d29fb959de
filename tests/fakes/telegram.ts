/**
 * A strict Telegram: what we use of the Bot API, refusing what Telegram refuses, in its words; and people who press the
 * buttons of its messages.
 */
import { EntityError, parseTelegramHtml } from "./telegram_html.ts";
import type { Verdict } from "./verdict.ts";

/** The one bot that exists, and the one chat that it is in. */
export interface TelegramBot {
  token: string;
  chatId: string;
}

/** A button as people see it. */
export interface TelegramButton {
  text: string;
  callback_data: string;
}

/** Who presses, and what. */
export interface TelegramPress {
  messageId: number;
  /** What stands on the button. */
  button: string;
  from?: Record<string, unknown>;
}

/** The fake, and what people do with it. */
export interface FakeTelegram {
  call(url: URL, raw: string): Verdict;
  /** Presses a button; answers the update that Telegram's webhook is called with. */
  press(press: TelegramPress): Record<string, unknown>;
  /** Rows of buttons under a message. */
  buttonsOf(messageId: number): string[][];
}

/** UTF-16 units after the entities are parsed. */
const TEXT_LIMIT = 4096;
/** UTF-16 units of the answer to a press. */
const ANSWER_LIMIT = 200;
/** Bytes that a button carries. */
const DATA_LIMIT = 64;

type Body = Record<string, unknown>;

interface Memory {
  bot: TelegramBot;
  now: () => number;
  /** Rows of buttons, by the message's id. */
  messages: Map<number, TelegramButton[][]>;
  /** Presses that were not answered. */
  presses: Set<string>;
  pressed: number;
  webhook: Body;
}

export function createTelegram(bot: TelegramBot, now: () => number): FakeTelegram {
  const memory: Memory = {
    bot,
    now,
    messages: new Map(),
    presses: new Set(),
    pressed: 0,
    webhook: { url: "", has_custom_certificate: false, pending_update_count: 0 },
  };
  return {
    call: (url, raw) => callMethod(memory, url, raw),
    press: (press) => pressButton(memory, press),
    buttonsOf: (id) => (memory.messages.get(id) ?? []).map((row) => row.map(({ text }) => text)),
  };
}

const METHODS: Readonly<Record<string, (memory: Memory, body: Body) => Verdict>> = {
  sendmessage: sendMessage,
  answercallbackquery: answerCallbackQuery,
  editmessagereplymarkup: editMessageReplyMarkup,
  setwebhook: setWebhook,
  getwebhookinfo: ({ webhook }) => success(webhook, "webhook"),
};

function callMethod(memory: Memory, url: URL, raw: string): Verdict {
  const [, token, method] = /^\/bot([^/]+)\/(\w+)$/.exec(url.pathname) ?? [];
  if (token === undefined || !/^\d+:[\w-]{30,}$/.test(token)) return refusal(404, "Not Found");
  if (token !== memory.bot.token) return refusal(401, "Unauthorized");
  const known = METHODS[method?.toLowerCase() ?? ""];
  if (known === undefined) return refusal(404, "Not Found");
  const body = parseBody(raw);
  return body === null ? refusal(400, "Bad Request: can't parse JSON object") : known(memory, body);
}

function sendMessage({ bot, now, messages }: Memory, body: Body): Verdict {
  const { chat_id: chatId, text, parse_mode: parseMode, reply_markup: markup } = body;
  if (chatId === undefined || chatId === "") return refusal(400, "Bad Request: chat_id is empty");
  if (String(chatId) !== bot.chatId) return refusal(400, "Bad Request: chat not found");
  try {
    const parsed = parse(text, parseMode);
    if (parsed.visible.trim() === "") return refusal(400, "Bad Request: message text is empty");
    if (parsed.visible.trim().length > TEXT_LIMIT) return refusal(400, "Bad Request: message is too long");
    const rows = readMarkup(markup);
    if (typeof rows === "string") return refusal(400, rows);
    const id = messages.size + 1;
    messages.set(id, rows);
    const result = {
      message_id: id,
      date: Math.floor(now() / 1000),
      chat: chatOf(bot),
      text: parsed.visible.trim(),
    };
    const readable = [parsed.readable.trim(), ...rows.map(shownRow)].join("\n");
    return { accepted: true, text: readable, status: 200, body: { ok: true, result } };
  } catch (error) {
    if (!(error instanceof EntityError)) throw error;
    return refusal(400, `Bad Request: can't parse entities: ${error.message}`);
  }
}

function answerCallbackQuery({ presses }: Memory, { callback_query_id: id, text = "" }: Body): Verdict {
  if (!presses.delete(String(id))) {
    const said = "Bad Request: query is too old and response timeout expired or query ID is invalid";
    return refusal(400, said);
  }
  if (typeof text !== "string" || text.length > ANSWER_LIMIT) {
    return refusal(400, "Bad Request: MESSAGE_TOO_LONG");
  }
  return success(true, `answer: ${text}`);
}

function editMessageReplyMarkup({ bot, messages }: Memory, body: Body): Verdict {
  if (String(body.chat_id) !== bot.chatId) return refusal(400, "Bad Request: chat not found");
  const id = Number(body.message_id);
  const before = messages.get(id);
  if (before === undefined) return refusal(400, "Bad Request: message to edit not found");
  const rows = readMarkup(body.reply_markup);
  if (typeof rows === "string") return refusal(400, rows);
  if (JSON.stringify(rows) === JSON.stringify(before)) {
    return refusal(
      400,
      "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a " +
        "current content and reply markup of the message",
    );
  }
  messages.set(id, rows);
  return success({ message_id: id, chat: chatOf(bot) }, rows.map(shownRow).join("\n"));
}

function setWebhook({ webhook }: Memory, body: Body): Verdict {
  const { url = "", secret_token: secret, allowed_updates: allowed } = body;
  if (url !== "" && !String(url).startsWith("https://")) {
    return refusal(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook");
  }
  if (secret !== undefined && !/^[\w-]{1,256}$/.test(String(secret))) {
    return refusal(400, "Bad Request: secret token contains unallowed characters");
  }
  if (allowed !== undefined && !Array.isArray(allowed)) {
    return refusal(400, "Bad Request: can't parse allowed updates JSON object");
  }
  Object.assign(webhook, { url }, allowed === undefined ? {} : { allowed_updates: allowed });
  return success(true, "webhook set");
}

function pressButton(memory: Memory, { messageId, button, from }: TelegramPress): Body {
  const rows = memory.messages.get(messageId) ?? [];
  const pressed = rows.flat().find(({ text }) => text === button);
  if (pressed === undefined) {
    throw new Error(`Message ${messageId} has no button "${button}", but ${rows.map(shownRow).join(" ")}`);
  }
  const id = String(4_382_000_000_000_000 + ++memory.pressed);
  memory.presses.add(id);
  return {
    update_id: 100_000 + memory.pressed,
    callback_query: {
      id,
      from: from ?? { id: 4711, is_bot: false, first_name: "Dana", last_name: "Lee", username: "dana" },
      message: { message_id: messageId, date: Math.floor(memory.now() / 1000), chat: chatOf(memory.bot) },
      chat_instance: "-7261",
      data: pressed.callback_data,
    },
  };
}

/** Rows of buttons, or in what words they are refused. */
function readMarkup(markup: unknown): TelegramButton[][] | string {
  if (markup === undefined) return [];
  const rows = (markup as Body | null)?.inline_keyboard;
  if (!Array.isArray(rows) || !rows.every(Array.isArray)) {
    return "Bad Request: object expected as reply markup";
  }
  for (const button of (rows as Body[][]).flat()) {
    const { text, callback_data: data } = button;
    if (typeof text !== "string" || text.trim() === "") {
      return "Bad Request: can't parse inline keyboard button: Text buttons must have non-empty text";
    }
    const bytes = typeof data === "string" ? new TextEncoder().encode(data).length : 0;
    if (bytes < 1 || bytes > DATA_LIMIT) return "Bad Request: BUTTON_DATA_INVALID";
  }
  return rows as TelegramButton[][];
}

function shownRow(row: readonly TelegramButton[]): string {
  return row.map(({ text }) => `[${text}]`).join(" ");
}

function chatOf(bot: TelegramBot): Body {
  return { id: Number(bot.chatId), type: "supergroup", title: "Alerts" };
}

function success(result: unknown, text: string): Verdict {
  return { accepted: true, text, status: 200, body: { ok: true, result } };
}

function parse(text: unknown, parseMode: unknown): { visible: string; readable: string } {
  const raw = typeof text === "string" ? text : "";
  if (!raw.isWellFormed() || raw.includes("\0")) throw new EntityError("Text must be encoded in UTF-8");
  if (parseMode === undefined || parseMode === "") return { visible: raw, readable: raw };
  if (String(parseMode).toLowerCase() !== "html") {
    throw new EntityError(`Unsupported parse_mode "${parseMode}"`);
  }
  return parseTelegramHtml(raw);
}

function refusal(status: number, description: string): Verdict {
  return { accepted: false, text: null, status, body: { ok: false, error_code: status, description } };
}

function parseBody(raw: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(raw);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
