/** A strict Telegram: `sendMessage` of the Bot API, refusing what Telegram refuses, in its words. */
import { EntityError, parseTelegramHtml } from "./telegram_html.ts";
import type { Verdict } from "./verdict.ts";

/** The one bot that exists, and the one chat that it is in. */
export interface TelegramBot {
  token: string;
  chatId: string;
}

/** UTF-16 units after the entities are parsed. */
const TEXT_LIMIT = 4096;

export function createTelegram(bot: TelegramBot, now: () => number) {
  let nextMessageId = 1;
  return function call(url: URL, raw: string): Verdict {
    const [, token, method] = /^\/bot([^/]+)\/(\w+)$/.exec(url.pathname) ?? [];
    if (token === undefined || !/^\d+:[\w-]{30,}$/.test(token)) return refusal(404, "Not Found");
    if (token !== bot.token) return refusal(401, "Unauthorized");
    if (method?.toLowerCase() !== "sendmessage") return refusal(404, "Not Found");
    const body = parseBody(raw);
    if (body === null) return refusal(400, "Bad Request: can't parse JSON object");
    const { chat_id: chatId, text, parse_mode: parseMode } = body;
    if (chatId === undefined || chatId === "") return refusal(400, "Bad Request: chat_id is empty");
    if (String(chatId) !== bot.chatId) return refusal(400, "Bad Request: chat not found");
    try {
      const parsed = parse(text, parseMode);
      if (parsed.visible.trim() === "") return refusal(400, "Bad Request: message text is empty");
      if (parsed.visible.trim().length > TEXT_LIMIT) return refusal(400, "Bad Request: message is too long");
      const result = {
        message_id: nextMessageId++,
        date: Math.floor(now() / 1000),
        chat: { id: Number(bot.chatId), type: "supergroup", title: "Alerts" },
        text: parsed.visible.trim(),
      };
      return { accepted: true, text: parsed.readable.trim(), status: 200, body: { ok: true, result } };
    } catch (error) {
      if (!(error instanceof EntityError)) throw error;
      return refusal(400, `Bad Request: can't parse entities: ${error.message}`);
    }
  };
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
