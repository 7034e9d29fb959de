/** Telegram, by bot: one HTML message an alert. Limits: Telegram's Bot API, `sendMessage` and "HTML style". */
import { z } from "zod";
import type { Message, MessageField, RenderedMessage } from "../domain/delivery.ts";
import { describeRest, renderPlain, stripLabel } from "../rules/message.ts";
import { clean, cut, oneLine } from "../rules/text.ts";
import { appearanceOf } from "./appearance.ts";
import { type Channel, plainOutcome } from "./channel.ts";
import { freshKeyboard, PRESS_SECRET } from "./telegram_buttons.ts";

/** UTF-16 units of what is read, markup not counted. */
const TOTAL_LIMIT = 4_096;
const LIMITS = { title: 300, cause: 1_000, label: 200, value: 400, excerpt: 1_000, footer: 200 };
/** Kept free for the line that says how many facts did not fit. */
const OVERFLOW_ROOM = 80;

const target = z.object({
  botToken: z.string({ error: "bot_token is empty" }).regex(
    /^\d+:[\w-]+$/,
    "bot_token must look like 123456:ABC…",
  ),
  chatId: z.string({ error: "chat_id is empty" }).regex(
    /^(-?\d+|@\w+)$/,
    "chat_id must be a number, or the @name of a channel",
  ),
  threadId: z.string().regex(/^\d{1,15}$/, "thread_id must be the number of a topic").optional(),
});

/** News that somebody may do something about. */
const ASKS: ReadonlySet<Message["event"]> = new Set(["opened", "reminder"]);

/** A piece of a message: what is read of it, and its markup. */
interface Piece {
  size: number;
  html: string;
}

export const telegram: Channel<z.infer<typeof target>> = {
  name: "telegram",
  api: { url: "https://api.telegram.org", variable: "TELEGRAM_API_URL" },
  // one message a second to one chat
  paceMs: 1_050,
  target,
  pressSecret: PRESS_SECRET,
  render: (message) => ({
    body: {
      text: htmlOf(message),
      parse_mode: "HTML",
      link_preview_options: { is_disabled: true },
      ...message.pressed === undefined || !ASKS.has(message.event)
        ? {}
        : { reply_markup: freshKeyboard(message.pressed) },
    },
    plain: `${appearanceOf(message).sign} ${renderPlain(message)}`,
  }),
  request(rendered, { botToken, chatId, threadId }, { apiUrl }) {
    return {
      url: `${apiUrl.replace(/\/+$/, "")}/bot${botToken}/sendMessage`,
      method: "POST",
      headers: { "content-type": "application/json" },
      // a group that moved has its new id in the rendered body
      body: JSON.stringify({
        chat_id: chatId,
        ...threadId === undefined ? {} : { message_thread_id: Number(threadId) },
        ...rendered.body,
      }),
    };
  },
  outcome(answer, rendered) {
    if (answer.kind !== "response") return plainOutcome("Telegram", answer);
    const said = answerBody.safeParse(answer.json).data;
    if (answer.status === 200 && said?.ok === true && said.result !== undefined) {
      return { kind: "sent", providerId: String(said.result.message_id) };
    }
    if (answer.status === 400) {
      const other = alternative(said, rendered);
      if (other !== null) return other;
    }
    const retryAfter = said?.parameters?.retry_after;
    return plainOutcome("Telegram", answer, {
      about: CHAT_REFUSAL.test(said?.description ?? "") ? "target" : undefined,
      error: said?.description,
      retryAfterMs: retryAfter === undefined ? null : retryAfter * 1000,
    });
  },
};

/** What a 400 says that no message gets past: the chat, its topic, or the bot's rights in it. */
const CHAT_REFUSAL =
  /chat not found|chat_id is empty|peer_id_invalid|user not found|upgraded to a supergroup|chat was deactivated|chat_?(?:id|write|restricted|admin)|channel_private|(?:message )?thread not found|topic_?(?:closed|deleted)|rights? to send|administrator rights/i;

const answerBody = z.object({
  ok: z.boolean(),
  description: z.string().optional(),
  result: z.object({ message_id: z.number() }).optional(),
  parameters: z.object({
    retry_after: z.number().nonnegative().optional(),
    migrate_to_chat_id: z.union([z.number(), z.string()]).optional(),
  }).optional(),
});

/** What to send instead where Telegram says what it would take, each at most once. */
function alternative(said: z.infer<typeof answerBody> | undefined, rendered: RenderedMessage) {
  const moved = said?.parameters?.migrate_to_chat_id;
  if (moved !== undefined && rendered.body.chat_id === undefined) {
    const note = `The group has become a supergroup: set chat_id to ${moved} in alert_config`;
    return {
      kind: "resend",
      rendered: { ...rendered, body: { ...rendered.body, chat_id: moved } },
      note,
    } as const;
  }
  if (/can't parse entities/i.test(said?.description ?? "") && rendered.body.parse_mode !== undefined) {
    const { parse_mode: _, ...body } = rendered.body;
    const note = `Telegram refused the markup (${said?.description}); sent as plain text`;
    return {
      kind: "resend",
      rendered: { ...rendered, body: { ...body, text: cut(rendered.plain, TOTAL_LIMIT) } },
      note,
    } as const;
  }
  return null;
}

function htmlOf(message: Message): string {
  const { sign } = appearanceOf(message);
  const head: Piece[] = [
    bold(`${sign} ${cut(oneLine(message.title), LIMITS.title)}`),
    text(`\n${cut(clean(message.cause).trim(), LIMITS.cause)}`),
  ];
  const tail = [...excerptOf(message), ...linksOf(message), ...footerOf(message)];
  const strip = stripOf(message);
  const used = sizeOf([...head, ...strip, ...tail]);
  const facts = factsOf(message.fields, TOTAL_LIMIT - used - 2);
  return [...head, ...spaced([...facts, ...strip]), ...tail].map((piece) => piece.html).join("");
}

/** As many facts as the room allows; what is left out is counted. */
function factsOf(fields: readonly MessageField[], room: number): Piece[] {
  const pieces: Piece[] = [];
  let left = room - OVERFLOW_ROOM;
  for (const [index, field] of fields.entries()) {
    const line = [
      text("\n"),
      bold(`${cut(oneLine(field.label), LIMITS.label)}:`),
      text(` ${cut(clean(field.value).trim(), LIMITS.value)}`),
    ];
    left -= sizeOf(line);
    if (left < 0) {
      return [...pieces, text(`\n… ${describeRest(fields.slice(index))}`)];
    }
    pieces.push(...line);
  }
  return pieces;
}

function stripOf({ strip }: Message): Piece[] {
  return strip === null
    ? []
    : [text("\n"), bold(`${stripLabel(strip)}:`), text(` ${cut(oneLine(strip), 100)}`)];
}

function excerptOf({ excerpt }: Message): Piece[] {
  const shown = cut(excerpt === null ? "" : clean(excerpt).trim(), LIMITS.excerpt);
  if (shown === "") return [];
  return [text("\n\n"), { size: shown.length, html: `<pre>${escape(shown)}</pre>` }];
}

function linksOf({ links }: Message): Piece[] {
  return links.slice(0, 5).flatMap(({ label, url }, index) => {
    const shown = cut(oneLine(label), 80);
    const link = { size: shown.length, html: `<a href="${escape(url)}">${escape(shown)}</a>` };
    return [text(index === 0 ? "\n\n" : " · "), link];
  });
}

function footerOf({ footer }: Message): Piece[] {
  const shown = cut(oneLine(footer), LIMITS.footer);
  return shown === "" ? [] : [text("\n\n"), { size: shown.length, html: `<i>${escape(shown)}</i>` }];
}

/** A blank line before a group, where there is one. */
function spaced(pieces: Piece[]): Piece[] {
  return pieces.length === 0 ? [] : [text("\n"), ...pieces];
}

function bold(shown: string): Piece {
  const piece = text(shown);
  return { size: piece.size, html: `<b>${piece.html}</b>` };
}

/** Outside of code, Telegram makes a mention of `@name`; an invisible mark behind the sign keeps it from that. */
function text(shown: string): Piece {
  const quiet = shown.replace(/(?<!\w)@(?=\w)/g, "@\u2060");
  return { size: quiet.length, html: escape(quiet) };
}

function sizeOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, piece) => sum + piece.size, 0);
}

function escape(shown: string): string {
  return shown.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  );
}
