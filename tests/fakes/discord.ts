/** A strict Discord: executes a webhook as Discord does and refuses what it refuses, with its error bodies. */
import type { Verdict } from "./verdict.ts";

/** The one webhook that exists. */
export interface DiscordWebhook {
  id: string;
  token: string;
}

/** Messages that a webhook takes in {@link RATE_WINDOW_MS}. */
const RATE_LIMIT = 5;
const RATE_WINDOW_MS = 2_000;

const LIMITS = {
  content: 2000,
  embeds: 10,
  title: 256,
  description: 4096,
  fields: 25,
  name: 256,
  value: 1024,
  footer: 2048,
  total: 6000,
};

type Json = Record<string, unknown>;
/** Errors by path, `embeds.0.title`, in Discord's order. */
type Faults = Map<string, { code: string; message: string }>;

/** A webhook's own memory of when it was called. */
export function createDiscord(webhook: DiscordWebhook, now: () => number) {
  let calls: number[] = [];
  let nextId = 1_441_000_000_000_000_000n;
  return function execute(url: URL, raw: string): Verdict {
    const [, id, token] = /^\/api\/(?:v\d+\/)?webhooks\/(\d+)\/([\w-]+)$/.exec(url.pathname) ?? [];
    if (id !== webhook.id) return refusal(404, { message: "Unknown Webhook", code: 10015 });
    if (token !== webhook.token) return refusal(401, { message: "Invalid Webhook Token", code: 50027 });
    const at = now();
    calls = calls.filter((call) => at - call < RATE_WINDOW_MS);
    const oldest = calls[0];
    if (calls.length >= RATE_LIMIT && oldest !== undefined) return rateLimited(oldest + RATE_WINDOW_MS - at);
    calls.push(at);
    const message = parseObject(raw);
    if (message === null) {
      return refusal(400, { message: "The request body contains invalid JSON.", code: 50109 });
    }
    const faults = faultsOf(message);
    if (faults.size > 0) {
      return refusal(400, { message: "Invalid Form Body", code: 50035, errors: nest(faults) });
    }
    if (isEmpty(message)) return refusal(400, { message: "Cannot send an empty message", code: 50006 });
    const shown = textOf(message);
    if (url.searchParams.get("wait") !== "true") {
      return { accepted: true, text: shown, status: 204, body: null };
    }
    const created = { id: String(nextId++), type: 0, channel_id: "1", webhook_id: id, ...message };
    return { accepted: true, text: shown, status: 200, body: created };
  };
}

function refusal(status: number, body: Json): Verdict {
  return { accepted: false, text: null, status, body };
}

function rateLimited(waitMs: number): Verdict {
  const seconds = Math.max(waitMs, 1) / 1000;
  return {
    accepted: false,
    text: null,
    status: 429,
    body: { message: "You are being rate limited.", retry_after: seconds, global: false },
    headers: {
      "retry-after": String(Math.ceil(seconds)),
      "x-ratelimit-limit": String(RATE_LIMIT),
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset-after": seconds.toFixed(3),
      "x-ratelimit-scope": "user",
    },
  };
}

function faultsOf(message: Json): Faults {
  const faults: Faults = new Map();
  checkText(faults, "content", message.content, LIMITS.content, false);
  if (message.embeds !== undefined && !Array.isArray(message.embeds)) {
    faults.set("embeds", { code: "BASE_TYPE_CONVERT", message: "Only list types may be converted." });
    return faults;
  }
  const embeds = (message.embeds ?? []) as Json[];
  checkCount(faults, "embeds", embeds.length, LIMITS.embeds);
  let total = 0;
  for (const [index, embed] of embeds.entries()) total += checkEmbed(faults, `embeds.${index}`, embed);
  if (total > LIMITS.total) {
    faults.set("embeds", {
      code: "MAX_EMBED_SIZE_EXCEEDED",
      message: `Embed size exceeds maximum size of ${LIMITS.total}`,
    });
  }
  checkMentions(faults, message.allowed_mentions);
  return faults;
}

/** Answers the size of its text: UTF-16 units, the larger of the two ways that Discord's counting is described. */
function checkEmbed(faults: Faults, path: string, embed: Json): number {
  const fields = (embed.fields ?? []) as Json[];
  const footer = (embed.footer ?? {}) as Json;
  let size = checkText(faults, `${path}.title`, embed.title, LIMITS.title, false) +
    checkText(faults, `${path}.description`, embed.description, LIMITS.description, false) +
    checkText(faults, `${path}.footer.text`, footer.text, LIMITS.footer, embed.footer !== undefined);
  checkCount(faults, `${path}.fields`, fields.length, LIMITS.fields);
  for (const [index, field] of fields.entries()) {
    size += checkText(faults, `${path}.fields.${index}.name`, field.name, LIMITS.name, true);
    size += checkText(faults, `${path}.fields.${index}.value`, field.value, LIMITS.value, true);
  }
  if (embed.url !== undefined && !/^https?:\/\/[^\s/]+/.test(String(embed.url))) {
    faults.set(`${path}.url`, { code: "URL_TYPE_INVALID_URL", message: "Not a well formed URL." });
  }
  if (embed.timestamp !== undefined && Number.isNaN(Date.parse(String(embed.timestamp)))) {
    const message = `Could not parse ${embed.timestamp}. Should be ISO8601.`;
    faults.set(`${path}.timestamp`, { code: "DATE_TIME_TYPE_PARSE", message });
  }
  const colour = embed.color;
  if (
    colour !== undefined && !(Number.isInteger(colour) && Number(colour) >= 0 && Number(colour) <= 0xffffff)
  ) {
    const message = "int value should be less than or equal to 16777215.";
    faults.set(`${path}.color`, { code: "NUMBER_TYPE_MAX", message });
  }
  return size;
}

function checkText(faults: Faults, path: string, value: unknown, limit: number, required: boolean): number {
  const text = typeof value === "string" ? value.trim() : "";
  if (required && text === "") {
    faults.set(path, { code: "BASE_TYPE_REQUIRED", message: "This field is required" });
  } else if (value !== undefined && value !== null && typeof value !== "string") {
    faults.set(path, { code: "STRING_TYPE_CONVERT", message: "Could not interpret value as string." });
  } else if (text.length > limit) {
    faults.set(path, { code: "BASE_TYPE_MAX_LENGTH", message: `Must be ${limit} or fewer in length.` });
  }
  return text.length;
}

function checkCount(faults: Faults, path: string, count: number, limit: number): void {
  if (count > limit) {
    faults.set(path, { code: "BASE_TYPE_MAX_LENGTH", message: `Must be ${limit} or fewer in length.` });
  }
}

function checkMentions(faults: Faults, mentions: unknown): void {
  for (const [index, kind] of (((mentions ?? {}) as Json).parse as unknown[] | undefined ?? []).entries()) {
    if (["roles", "users", "everyone"].includes(String(kind))) continue;
    const message = "Value must be one of {'roles', 'users', 'everyone'}.";
    faults.set(`allowed_mentions.parse.${index}`, { code: "BASE_TYPE_CHOICES", message });
  }
}

/** `{"embeds": {"0": {"title": {"_errors": […]}}}}`. */
function nest(faults: Faults): Json {
  const root: Json = {};
  for (const [path, fault] of faults) {
    let node = root;
    for (const key of path.split(".")) node = (node[key] ??= {}) as Json;
    node._errors = [fault];
  }
  return root;
}

function isEmpty(message: Json): boolean {
  const embeds = (message.embeds ?? []) as Json[];
  const content = String(message.content ?? "").trim();
  return content === "" && embeds.every((embed) => !embed.title && !embed.description && !embed.fields);
}

/** A message as a reader sees it. */
function textOf(message: Json): string {
  const embeds = (message.embeds ?? []) as Json[];
  const parts = embeds.map((embed) => {
    const fields = ((embed.fields ?? []) as Json[]).map(({ name, value }) =>
      `${shown(name)}: ${shown(value)}`
    );
    return [
      shown(embed.title),
      shown(embed.description),
      fields.join("\n"),
      (embed.footer as Json | undefined)?.text,
    ];
  });
  return [message.content, ...parts.flat()].filter(Boolean).join("\n\n");
}

/** Markdown as displayed: escapes gone, dates in words, links by their label and address. */
function shown(value: unknown): string {
  return String(value ?? "").split(/(```[\s\S]*?```)/).map((part) =>
    part.startsWith("```") ? part.slice(3, -3) : part
      .replace(/(?<!\\)<t:(\d+):F>/g, (_, seconds) => inWords(new Date(Number(seconds) * 1000)))
      .replace(/(?<!\\)\[((?:\\.|[^\]\\])*)\]\(([^)\s]+)\)/g, "$1 <$2>")
      .replace(/\\([^\sA-Za-z0-9])/g, "$1")
  ).join("").replaceAll("\u200b", "");
}

/** Discord shows such a date to every reader by their own clock; here it is read in UTC. */
function inWords(date: Date): string {
  const words = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "short", timeZone: "UTC" });
  return `${words.format(date)} (each reader's own time)`;
}

function parseObject(raw: string): Json | null {
  try {
    const value = JSON.parse(raw);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
