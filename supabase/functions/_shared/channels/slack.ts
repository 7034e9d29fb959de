/** Slack, by incoming webhook: blocks, and a text for notifications. Limits: Slack's Block Kit reference. */
import { z } from "zod";
import type { Message, MessageField } from "../domain/delivery.ts";
import { httpsUrl } from "../rules/links.ts";
import { describeRest, renderPlain, stripLabel } from "../rules/message.ts";
import { reportMail } from "../rules/report_html.ts";
import { reportBlocks } from "../rules/report_slack.ts";
import { clean, cut, formatUtc, oneLine } from "../rules/text.ts";
import { appearanceOf } from "./appearance.ts";
import { type Channel, plainOutcome } from "./channel.ts";

/** Characters as they stand in the JSON that is sent, escapes counted. */
const LIMITS = { text: 600, header: 150, cause: 1_200, label: 150, value: 400, excerpt: 1_500, footer: 200 };
/** Characters of the whole request. */
const TOTAL_LIMIT = 10_000;
/** Kept free for the section that says how many facts did not fit. */
const OVERFLOW_ROOM = 150;
/** Sections of facts at most; a message has room for 50 blocks. */
const FACT_LIMIT = 30;
/** Values up to here stand side by side, ten to a section. */
const INLINE_LENGTH = 70;
const FIELDS_A_SECTION = 10;
const BUTTONS = 5;
const BUTTON_LABEL = 75;
/** Characters of a link; Slack takes 3,000. */
const LINK_LIMIT = 1_000;

const target = z.object({
  webhookUrl: z.string({ error: "webhook_url is empty" }).regex(
    /^https?:\/\/[^/?#]+\/(?:services|workflows|triggers)\/[\w/-]+$/,
    "webhook_url must look like https://hooks.slack.com/services/T…/B…/…",
  ),
});

type Block = Record<string, unknown>;

export const slack: Channel<z.infer<typeof target>> = {
  name: "slack",
  api: null,
  // one message a second to one webhook
  paceMs: 1_050,
  target,
  render: (message) => ({ body: bodyOf(message), plain: renderPlain(message) }),
  renderReport: (report) => ({ body: reportBlocks(report), plain: reportMail(report).text }),
  request(rendered, { webhookUrl }) {
    return {
      url: webhookUrl,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(rendered.body),
    };
  },
  outcome(answer) {
    // Slack answers in plain text; anything but the one word is a proxy's page
    if (answer.kind === "response" && answer.status === 200 && answer.excerpt === "ok") {
      return { kind: "sent", providerId: null };
    }
    const said = answer.kind === "response" && answer.status === 400 ? answer.excerpt : "";
    return plainOutcome("Slack", answer, { about: TARGET_REFUSAL.test(said) ? "target" : undefined });
  },
};

/** What a 400 says that no message gets past. */
const TARGET_REFUSAL = /^(user_not_found|channel_not_found|invalid_token|no_service|no_team|team_disabled)/;

function bodyOf(message: Message): Record<string, unknown> {
  const { sign } = appearanceOf(message);
  const title = `${sign} ${oneLine(message.title)}`;
  const cause = clean(message.cause).trim();
  const text = escape(cut(cause === "" ? title : `${title}\n${cause}`, LIMITS.text, sizeInJson));
  const head = [{ type: "header", text: plain(title, LIMITS.header) }, ...section(cause, LIMITS.cause)];
  const tail = [
    ...stripOf(message),
    ...section(clean(message.excerpt ?? "").trim(), LIMITS.excerpt),
    ...buttonsOf(message),
    ...localTimes(message.fields),
    ...footerOf(message),
  ];
  const used = JSON.stringify({ text, blocks: [...head, ...tail] }).length;
  return { text, blocks: [...head, ...factsOf(message.fields, TOTAL_LIMIT - used), ...tail] };
}

/** As many facts as the room allows; what is left out is counted. */
function factsOf(facts: readonly MessageField[], room: number): Block[] {
  const blocks: Block[] = [];
  let fields: Block[] = [];
  let left = room - OVERFLOW_ROOM;
  for (const [index, fact] of facts.entries()) {
    const text = factText(fact);
    // its braces and commas, and those of the section that it may open
    left -= JSON.stringify(text).length + 40;
    if (left < 0 || index >= FACT_LIMIT) {
      return [...blocks, ...section(`… ${describeRest(facts.slice(index))}`, 100)];
    }
    if (String(text.text).length > INLINE_LENGTH) {
      fields = [];
      blocks.push({ type: "section", text });
    } else {
      if (fields.length === 0 || fields.length >= FIELDS_A_SECTION) {
        blocks.push({ type: "section", fields: fields = [] });
      }
      fields.push(text);
    }
  }
  return blocks;
}

function factText({ label, value }: MessageField): Block {
  const name = cut(oneLine(label), LIMITS.label, sizeInJson) || "-";
  return plain(`${name}\n${cut(clean(value).trim(), LIMITS.value, sizeInJson) || "-"}`, 1_000);
}

function stripOf({ strip }: Message): Block[] {
  return strip === null ? [] : section(`${stripLabel(strip)}: ${oneLine(strip)}`, 200);
}

function buttonsOf({ links }: Message): Block[] {
  const elements = links.flatMap(({ label, url }, index) => {
    const href = httpsUrl(url, LINK_LIMIT);
    if (href === null || index >= BUTTONS) return [];
    const text = plain(oneLine(label) || "Link", BUTTON_LABEL);
    return [{ type: "button", action_id: `link_${index}`, text, url: href }];
  });
  return elements.length === 0 ? [] : [{ type: "actions", elements: withinRoom(elements, 2_500) }];
}

function withinRoom<T>(elements: readonly T[], room: number): T[] {
  let left = room;
  return elements.filter((element) => (left -= JSON.stringify(element).length) >= 0);
}

/** Times as Slack shows them in the reader's own zone. It is the only markup, so labels are bare words here. */
function localTimes(facts: readonly MessageField[]): Block[] {
  const times = facts.flatMap(({ label, at }) => {
    const name = oneLine(label).slice(0, 30).replace(/[^A-Za-z0-9 ]/g, "").trim();
    if (at === undefined || name === "") return [];
    const unix = Math.floor(at.getTime() / 1000);
    return [`${name} <!date^${unix}^{date_short_pretty} {time_secs}|${formatUtc(at)}>`];
  });
  if (times.length === 0) return [];
  const text = `In your time zone: ${times.slice(0, 4).join(" · ")}`;
  return [{ type: "context", elements: [{ type: "mrkdwn", text }] }];
}

function footerOf({ footer }: Message): Block[] {
  const shown = oneLine(footer);
  return shown === "" ? [] : [{ type: "context", elements: [plain(shown, LIMITS.footer)] }];
}

function section(text: string, limit: number): Block[] {
  return text === "" ? [] : [{ type: "section", text: plain(text, limit) }];
}

/** Text in which no markup, mention or `:emoji:` has a meaning. */
function plain(text: string, limit: number): Block {
  return { type: "plain_text", text: escape(cut(text, limit, sizeInJson)), emoji: false };
}

/** Slack reads the three characters of its markup even where it shows plain text. */
function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function sizeInJson(text: string): number {
  return JSON.stringify(escape(text)).length - 2;
}
