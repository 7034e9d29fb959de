/** Discord, by webhook: one embed an alert. Limits: Discord's documentation, "Embed limits" and "Execute webhook". */
import { z } from "zod";
import type { Message, MessageField } from "../domain/delivery.ts";
import { describeRest, renderPlain, stripLabel } from "../rules/message.ts";
import { clean, cut, oneLine } from "../rules/text.ts";
import { appearanceOf } from "./appearance.ts";
import { type Channel, plainOutcome } from "./channel.ts";

/** Discord counts code points or UTF-16 units, depending on who tells; the larger number fits both. */
const LIMITS = {
  title: 256,
  description: 1_500,
  fields: 25,
  label: 200,
  value: 400,
  excerpt: 1_000,
  footer: 200,
};
/** Characters over all parts of all embeds. */
const TOTAL_LIMIT = 6_000;
/** Kept free for the field that says how many others did not fit. */
const OVERFLOW_ROOM = 80;
/** Values up to here may stand side by side. */
const INLINE_LENGTH = 70;

/** As Discord's settings give it, a version of the API or `?thread_id=…` added at will. */
const WEBHOOK_URL = /^https?:\/\/[^/?#]+\/api\/(?:v\d+\/)?webhooks\/\d+\/[\w-]+(?:\?[^#]*)?$/;

const target = z.object({
  webhookUrl: z.string({ error: "webhook_url is empty" }).regex(
    WEBHOOK_URL,
    "webhook_url must look like https://discord.com/api/webhooks/<id>/<token>",
  ),
  threadId: z.string().regex(/^\d+$/, "thread_id must be the number of a thread").optional(),
});

interface EmbedField {
  name: string;
  value: string;
  inline: boolean;
}

export const discord: Channel<z.infer<typeof target>> = {
  name: "discord",
  api: null,
  // five messages in two seconds are allowed
  paceMs: 450,
  target,
  render: (message) => ({
    // nobody is pinged, whatever a job's error says
    body: { embeds: [embedOf(message)], allowed_mentions: { parse: [] } },
    plain: renderPlain(message),
  }),
  request(rendered, { webhookUrl, threadId }) {
    const url = new URL(webhookUrl);
    // without it Discord answers before it has saved the message
    url.searchParams.set("wait", "true");
    if (threadId !== undefined) url.searchParams.set("thread_id", threadId);
    return {
      url: url.href,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(rendered.body),
    };
  },
  outcome(answer) {
    if (answer.kind !== "response") return plainOutcome("Discord", answer);
    const said = errorBody.safeParse(answer.json).data;
    const id = z.object({ id: z.string() }).safeParse(answer.json).data?.id;
    if (answer.status === 200 && id !== undefined) return { kind: "sent", providerId: id };
    return plainOutcome("Discord", answer, {
      about: TARGET_CODES.has(said?.code ?? 0) ? "target" : undefined,
      error: said === undefined ? undefined : describe(said),
      retryAfterMs: said?.retry_after === undefined ? null : Math.ceil(said.retry_after * 1000),
    });
  },
};

/** Codes of a 400 that no message gets past: a forum that wants a thread, a thread that is archived or gone. */
const TARGET_CODES: ReadonlySet<number> = new Set([10003, 10015, 50027, 50083, 220001, 220003]);

const errorBody = z.object({
  message: z.string(),
  code: z.number().optional(),
  errors: z.unknown().optional(),
  retry_after: z.number().nonnegative().optional(),
});

function describe({ message, code, errors }: z.infer<typeof errorBody>): string {
  const detail = errors === undefined ? "" : ` ${JSON.stringify(errors).slice(0, 300)}`;
  return `${message}${code === undefined ? "" : ` (code ${code})`}${detail}`;
}

function embedOf(message: Message): Record<string, unknown> {
  const { sign, colour } = appearanceOf(message);
  const title = fit(`${sign} ${oneLine(message.title)}`, LIMITS.title);
  const description = fit(clean(message.cause), LIMITS.description);
  const footer = cut(oneLine(message.footer), LIMITS.footer);
  const last = [...stripField(message), ...excerptField(message), ...linksField(message)];
  const used = title.length + description.length + footer.length + sizeOf(last);
  const fields = [...factFields(message.fields, TOTAL_LIMIT - used, LIMITS.fields - last.length), ...last];
  const link = message.links.find((link) => link.label === "Dashboard")?.url;
  return {
    title,
    ...(link === undefined ? {} : { url: link }),
    description,
    color: colour,
    fields,
    ...(footer === "" ? {} : { footer: { text: footer } }),
    timestamp: message.at.toISOString(),
  };
}

/** As many facts as the room allows; what is left out is counted. */
function factFields(facts: readonly MessageField[], room: number, count: number): EmbedField[] {
  const fields: EmbedField[] = [];
  let left = room - OVERFLOW_ROOM;
  for (const [index, fact] of facts.entries()) {
    const field = factField(fact);
    left -= sizeOf([field]);
    if (left < 0 || fields.length >= count - 1) {
      fields.push({ name: "…", value: describeRest(facts.slice(index)), inline: false });
      break;
    }
    fields.push(field);
  }
  return fields;
}

function factField(fact: MessageField): EmbedField {
  const name = fit(oneLine(fact.label), LIMITS.label) || "-";
  const value = fit(clean(fact.value).trim(), LIMITS.value) || "-";
  if (fact.at === undefined) return { name, value, inline: value.length <= INLINE_LENGTH };
  // Discord shows this one in the reader's own zone
  return { name, value: `${value}\n<t:${Math.floor(fact.at.getTime() / 1000)}:F>`, inline: true };
}

function stripField({ strip }: Message): EmbedField[] {
  return strip === null ? [] : [{ name: stripLabel(strip), value: cut(oneLine(strip), 100), inline: false }];
}

function excerptField({ excerpt }: Message): EmbedField[] {
  const text = fence(excerpt === null ? "" : clean(excerpt).trim());
  if (text === "") return [];
  const shown = cut(text, LIMITS.excerpt);
  return [{ name: "Last error", value: `\`\`\`\n${shown}\n\`\`\``, inline: false }];
}

function linksField({ links }: Message): EmbedField[] {
  const shown: string[] = [];
  for (const { label, url } of links) {
    const link = `[${fit(oneLine(label), 80)}](${url.replaceAll("(", "%28").replaceAll(")", "%29")})`;
    if ([...shown, link].join(" · ").length <= 1_000) shown.push(link);
  }
  return shown.length === 0 ? [] : [{ name: "Links", value: shown.join(" · "), inline: false }];
}

function sizeOf(fields: readonly EmbedField[]): number {
  return fields.reduce((sum, field) => sum + field.name.length + field.value.length, 0);
}

/** Cut so that it fits once it is escaped, then escaped. */
function fit(text: string, limit: number): string {
  return escape(cut(text, limit, (text) => escape(text).length));
}

/** Takes the meaning from Markdown, mentions, timestamps and links. */
function escape(text: string): string {
  return text.replace(/[\\*_~`|<>[\]]/g, "\\$&").replace(/^(\s*)([#+-])/gm, "$1\\$2");
}

/** Inside a code block only its end has a meaning. */
function fence(text: string): string {
  return text.replace(/`(?=`)/g, "`\u200b");
}
