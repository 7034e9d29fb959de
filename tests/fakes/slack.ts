/** A strict Slack: an incoming webhook that refuses what Slack refuses, in its one-word answers. */
import type { Verdict } from "./verdict.ts";

/** Path of the one webhook that exists, `/services/T…/B…/…`. */
export interface SlackWebhook {
  path: string;
}

/** Messages that a webhook takes in {@link RATE_WINDOW_MS}; Slack tolerates short bursts beyond its one a second. */
const RATE_LIMIT = 3;
const RATE_WINDOW_MS = 1_000;
const BLOCK_LIMIT = 50;
/** Of the whole request; Slack truncates long texts silently, and an alert must not be. */
const TOTAL_LIMIT = 10_000;

type Json = Record<string, unknown>;

/** A text object in a block, and what it may be. */
interface TextRule {
  limit: number;
  kinds: readonly string[];
}
const PLAIN: readonly string[] = ["plain_text"];
const ANY: readonly string[] = ["plain_text", "mrkdwn"];

/** Thrown for a block that Slack does not take. */
class InvalidBlocks extends Error {}

/** A webhook's own memory of when it was called. */
export function createSlack(webhook: SlackWebhook, now: () => number) {
  let calls: number[] = [];
  return function post(url: URL, raw: string): Verdict {
    if (url.pathname !== webhook.path) {
      const known = url.pathname.split("/")[2] === webhook.path.split("/")[2];
      return known ? refusal(403, "invalid_token") : refusal(404, "no_service");
    }
    const at = now();
    calls = calls.filter((call) => at - call < RATE_WINDOW_MS);
    if (calls.length >= RATE_LIMIT) {
      return { ...refusal(429, "rate_limited"), headers: { "retry-after": "1" } };
    }
    calls.push(at);
    const message = parseObject(raw);
    if (message === null || raw.length > TOTAL_LIMIT) return refusal(400, "invalid_payload");
    const { text, blocks } = message;
    // Slack itself takes blocks alone; then notifications would be empty
    if (typeof text !== "string" || text.trim() === "") return refusal(400, "no_text");
    try {
      const shown = (Array.isArray(blocks) ? blocks : []).map(readBlock);
      if (shown.length > BLOCK_LIMIT) throw new InvalidBlocks();
      return { accepted: true, text: shown.join("\n") || readMarkdown(text), status: 200, body: "ok" };
    } catch (error) {
      if (!(error instanceof InvalidBlocks)) throw error;
      return refusal(400, "invalid_blocks");
    }
  };
}

function refusal(status: number, body: string): Verdict {
  return { accepted: false, text: null, status, body };
}

/** A block as its reader sees it. */
function readBlock(value: unknown): string {
  const block = value as Json;
  switch (block.type) {
    case "header":
      return readText(block.text, { limit: 150, kinds: PLAIN });
    case "section":
      return readSection(block);
    case "context":
      return readList(block.elements, 10).map((element) => readText(element, { limit: 3_000, kinds: ANY }))
        .join(" ");
    case "actions":
      return readList(block.elements, 25).map(readButton).join(" · ");
    default:
      throw new InvalidBlocks();
  }
}

function readSection({ text, fields }: Json): string {
  if (text === undefined && fields === undefined) throw new InvalidBlocks();
  const parts = text === undefined ? [] : [readText(text, { limit: 3_000, kinds: ANY })];
  const cells = fields === undefined ? [] : readList(fields, 10);
  return [...parts, ...cells.map((field) => readText(field, { limit: 2_000, kinds: ANY }))].join("\n");
}

function readButton(value: unknown): string {
  const { type, text, url, action_id: id, ...others } = value as Json;
  if (type !== "button" || typeof id !== "string" || id.length > 255) throw new InvalidBlocks();
  if (typeof url !== "string" || url.length > 3_000 || !/^https?:\/\/[^\s/]+/.test(url)) {
    throw new InvalidBlocks();
  }
  if (Object.keys(others).some((key) => !["style", "value"].includes(key))) throw new InvalidBlocks();
  return `${readText(text, { limit: 75, kinds: PLAIN })} <${url}>`;
}

function readList(value: unknown, limit: number): unknown[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > limit) throw new InvalidBlocks();
  return value;
}

function readText(value: unknown, { limit, kinds }: TextRule): string {
  const { type, text, emoji } = (value ?? {}) as Json;
  if (typeof type !== "string" || !kinds.includes(type)) throw new InvalidBlocks();
  if (typeof text !== "string" || text.trim() === "" || text.length > limit) throw new InvalidBlocks();
  if (!text.isWellFormed() || text.includes("\0")) throw new InvalidBlocks();
  if (type === "mrkdwn") return readMarkdown(text);
  const shown = emoji === false ? text : text.replace(/:[a-z_]+:/g, "[emoji]");
  return unescape(shown);
}

/** Markup as displayed: whom it would call is written out, so that a test can see it. */
function readMarkdown(text: string): string {
  const shown = text
    .replace(/<!date\^(\d+)\^[^|>]*\|([^>]*)>/g, "$2")
    .replace(/<!(channel|here|everyone)(?:\|[^>]*)?>/g, "[calls $1]")
    .replace(/<([@#][A-Z0-9]+)(?:\|[^>]*)?>/g, "[calls $1]")
    .replace(/<(https?:[^|>]+)\|([^>]*)>/g, "[links $1]");
  return unescape(shown);
}

function unescape(text: string): string {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

function parseObject(raw: string): Json | null {
  try {
    const value = JSON.parse(raw);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
