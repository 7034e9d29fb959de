/** A press of a button: from whose chat, about what; done in the hub, then answered and shown in Telegram. */
import type postgres from "postgres";
import { z } from "zod";
import type { OutgoingRequest } from "../_shared/channels/channel.ts";
import { deliver } from "../_shared/channels/deliver.ts";
import { telegram } from "../_shared/channels/telegram.ts";
import {
  answerRequest,
  faultOf,
  keyboardFor,
  keyboardRequest,
  pressAnswer,
  readPress,
} from "../_shared/channels/telegram_buttons.ts";
import { AppError } from "../_shared/errors.ts";
import { pressButton, type PressedDelivery, readPressedDelivery } from "../_shared/hub/presses.ts";
import { resolveSecret } from "../_shared/hub/secrets.ts";
import type { Log } from "../_shared/log.ts";
import { cut, oneLine } from "../_shared/rules/text.ts";

export { PRESS_SECRET } from "../_shared/channels/telegram_buttons.ts";

/** Milliseconds that Telegram may take to show what was done; the press itself is kept before. */
const TIMEOUT_MS = 5_000;
/** UTF-16 units of a person's name that are kept. */
const NAME_LIMIT = 80;

const telegramId = z.number().int();

const press = z.object({
  id: z.string().regex(/^\w{1,64}$/),
  from: z.object({
    id: telegramId,
    first_name: z.string().default(""),
    last_name: z.string().optional(),
    username: z.string().optional(),
  }),
  /** Missing for a message that is not the bot's own. */
  message: z.object({
    message_id: telegramId,
    chat: z.object({ id: telegramId, username: z.string().optional() }),
  }).optional(),
  /** Missing for a button that opens a game. */
  data: z.string().max(64).optional(),
});
type Press = z.infer<typeof press>;

/** An update of Telegram's Bot API; any but a press of a button is passed over. */
export const telegramUpdate = z.object({ update_id: telegramId, callback_query: press.optional() });

/** What a press needs of the world. */
export interface PressDeps {
  sql: postgres.Sql;
  config: { outgoingAllowedHosts: readonly string[]; secret(name: string): string | undefined };
  log: Log;
  fetch?: typeof fetch;
}

/** What came of an update. */
export interface PressReport {
  handled: boolean;
  /** Why it was passed over, or what could not be shown in Telegram. */
  notes: string[];
}

/**
 * Does what a button says for all incidents of its message. A press from anywhere but the chat that the message was
 * sent to is passed over.
 *
 * @throws {AppError} `hub_unreachable`, `hub_failed` or `conflict`: Telegram tells of the press again.
 */
export async function runTelegramWebhook(
  deps: PressDeps,
  update: z.infer<typeof telegramUpdate>,
): Promise<PressReport> {
  const { callback_query: pressed } = update;
  if (pressed === undefined) return passOver(deps, "no button was pressed");
  const meant = readPress(pressed.data ?? "");
  if (meant === null || pressed.message === undefined) return passOver(deps, "the button is none of ours");
  const { deliveryId, action } = meant;
  const bot = await botFor(deps, deliveryId, pressed.message.chat);
  if ("refused" in bot) return passOver(deps, bot.refused, { delivery_id: deliveryId });
  const by = nameOf(pressed.from);
  const state = await pressButton(deps.sql, { deliveryId, action, by, pressId: pressed.id });
  deps.log.info("button pressed", { delivery_id: deliveryId, action, by, ...state });
  const notes = await Promise.all([
    call(deps, bot, answerRequest(bot, pressed.id, pressAnswer(action, state))),
    call(
      deps,
      bot,
      keyboardRequest(
        bot,
        { chatId: pressed.message.chat.id, messageId: pressed.message.message_id },
        keyboardFor(deliveryId, state),
      ),
    ),
  ]);
  return { handled: true, notes: notes.filter((note) => note !== null) };
}

function passOver({ log }: PressDeps, reason: string, fields: Record<string, string> = {}): PressReport {
  log.warn("update passed over", { reason, ...fields });
  return { handled: false, notes: [reason] };
}

interface Bot {
  apiUrl: string;
  botToken: string;
}

/** The bot that sent the message, if the press comes from where it was sent to. */
async function botFor(
  deps: PressDeps,
  deliveryId: string,
  chat: NonNullable<Press["message"]>["chat"],
): Promise<Bot | { refused: string }> {
  const delivery = await readPressedDelivery(deps.sql, deliveryId);
  if (delivery === null) return { refused: "no enabled row of alert_config sent the message" };
  const target = await resolveTarget(deps, delivery.target);
  if (typeof target === "string") return { refused: target };
  const chats = [target.chatId, delivery.sentTo].map((name) => name?.toLowerCase());
  const isThere = chats.includes(String(chat.id)) ||
    (chat.username !== undefined && chats.includes(`@${chat.username.toLowerCase()}`));
  if (!isThere) return { refused: "the press comes from a chat that the message was not sent to" };
  return {
    apiUrl: deps.config.secret(telegram.api?.variable ?? "") ?? telegram.api?.url ?? "",
    botToken: target.botToken,
  };
}

const target = z.object({ botToken: z.string(), chatId: z.string() });

/** The row's bot and chat, or why they cannot be used. */
async function resolveTarget(
  { sql, config }: PressDeps,
  { botToken, chatId }: PressedDelivery["target"],
): Promise<z.infer<typeof target> | string> {
  try {
    const sources = { sql, env: config.secret };
    const resolved = {
      botToken: await resolveSecret(botToken ?? "", sources),
      chatId: await resolveSecret(chatId ?? "", sources),
    };
    const checked = telegram.target.safeParse(resolved);
    return checked.success ? resolved : "bot_token or chat_id of its row of alert_config is not well-formed";
  } catch (error) {
    if (error instanceof AppError && error.code === "secret_missing") return error.message;
    throw error;
  }
}

/** `Dana Lee (@dana, Telegram 4711)`: names may change and be anybody's, the number stays. */
function nameOf({ id, first_name: first, last_name: last, username }: Press["from"]): string {
  const name = cut(oneLine(`${first} ${last ?? ""}`).replaceAll(/[()]/g, ""), NAME_LIMIT);
  const handle = username === undefined ? "" : `@${cut(oneLine(username), NAME_LIMIT)}, `;
  return `${name || "Somebody"} (${handle}Telegram ${id})`;
}

/** What went wrong, which changes nothing about what is kept; `null` where nothing did. */
async function call(deps: PressDeps, bot: Bot, request: OutgoingRequest): Promise<string | null> {
  try {
    const answer = await deliver(request, {
      timeoutMs: TIMEOUT_MS,
      allowedHosts: deps.config.outgoingAllowedHosts,
      secrets: [bot.botToken],
      ...(deps.fetch === undefined ? {} : { fetch: deps.fetch }),
    });
    const fault = faultOf(answer);
    if (fault !== null) deps.log.warn("press not shown", { error: fault });
    return fault;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    deps.log.warn("press not shown", { error: error.message });
    return error.message;
  }
}
