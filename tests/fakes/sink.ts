/**
 * A sink for alerts: one HTTP server on loopback that stands for Discord and Telegram, strict as they are. Shows what
 * it received at `GET /`, and as JSON at `GET /deliveries`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createDiscord, type DiscordWebhook } from "./discord.ts";
import { createTelegram, type TelegramBot } from "./telegram.ts";
import type { Verdict } from "./verdict.ts";

/** Vendors that the sink stands for. */
export type SinkChannel = "discord" | "telegram";

/** One request as received. */
export interface SinkDelivery {
  /** ISO 8601. */
  at: string;
  channel: SinkChannel;
  /** As answered; 0 where the connection was cut instead. */
  status: number;
  accepted: boolean;
  /** As its reader sees it; `null` where it was refused. */
  text: string | null;
  /** The body of the request. */
  raw: unknown;
}

/** A fault to answer one request with, in place of what the vendor would say. */
export interface ScriptedAnswer {
  status?: number;
  /** A string is answered as it is, anything else as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
  /** Wait before answering, in milliseconds. */
  delayMs?: number;
  /** Cut the connection without an answer. */
  destroy?: boolean;
  /** The vendor takes the message although the answer gets lost: counts as accepted. */
  accept?: boolean;
}

/** How {@link startSink} starts. */
export interface SinkOptions {
  /** Default 0: any free port. */
  port?: number;
  /** A loopback address. Default 127.0.0.1. */
  hostname?: string;
  /** Epoch milliseconds. */
  now?: () => number;
  onDelivery?: (delivery: SinkDelivery) => void;
}

/** A running sink. */
export interface Sink {
  url: string;
  discordWebhookUrl: string;
  telegramApiUrl: string;
  telegramBotToken: string;
  telegramChatId: string;
  /** All requests, oldest first. */
  deliveries(): SinkDelivery[];
  /** Faults for the next requests of a channel, one each. */
  script(channel: SinkChannel, answers: readonly ScriptedAnswer[]): void;
  close(): Promise<void>;
}

const WEBHOOK: DiscordWebhook = {
  id: "1234567890123456789",
  token: "local-sink-webhook-token-0123456789abcdefghij",
};
const BOT: TelegramBot = { token: "987654321:local-sink-bot-token-0123456789abcd", chatId: "-1001234567890" };
/** Requests kept; older ones are forgotten. */
const KEPT = 10_000;

/** Starts the sink. */
export async function startSink(options: SinkOptions = {}): Promise<Sink> {
  const { port = 0, hostname = "127.0.0.1", now = Date.now, onDelivery } = options;
  if (!/^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(hostname)) {
    throw new Error(`The sink listens on loopback only, not on "${hostname}"`);
  }
  const vendors = { discord: createDiscord(WEBHOOK, now), telegram: createTelegram(BOT, now) };
  const scripts: Record<SinkChannel, ScriptedAnswer[]> = { discord: [], telegram: [] };
  const received: SinkDelivery[] = [];

  const receive = async (
    channel: SinkChannel,
    url: URL,
    request: IncomingMessage,
    response: ServerResponse,
  ) => {
    const raw = await readText(request);
    const scripted = scripts[channel].shift();
    const verdict = scripted?.status === undefined && scripted?.accept !== true && scripted?.destroy !== true
      ? vendors[channel](url, raw)
      : scriptedVerdict(scripted, () => vendors[channel](url, raw));
    const delivery: SinkDelivery = {
      at: new Date(now()).toISOString(),
      channel,
      status: scripted?.destroy === true ? 0 : verdict.status,
      accepted: verdict.accepted,
      text: verdict.text,
      raw: parseJson(raw),
    };
    received.push(delivery);
    if (received.length > KEPT) received.shift();
    onDelivery?.(delivery);
    if (scripted?.delayMs !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, scripted.delayMs));
    }
    if (scripted?.destroy === true) request.socket.destroy();
    else answer(response, verdict);
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://sink");
    const channel = channelOf(url.pathname);
    if (request.method === "POST" && channel !== null) {
      receive(channel, url, request, response).catch(() => request.socket.destroy());
    } else if (request.method === "GET" && url.pathname === "/deliveries") {
      answer(response, { status: 200, body: received });
    } else if (request.method === "GET" && url.pathname === "/") {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page(received));
    } else {
      answer(response, { status: 404, body: { message: "404: Not Found", code: 0 } });
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, resolve);
  });
  const { address, port: bound, family } = server.address() as AddressInfo;
  const url = `http://${family === "IPv6" ? `[${address}]` : address}:${bound}`;
  return {
    url,
    discordWebhookUrl: `${url}/api/webhooks/${WEBHOOK.id}/${WEBHOOK.token}`,
    telegramApiUrl: url,
    telegramBotToken: BOT.token,
    telegramChatId: BOT.chatId,
    deliveries: () => [...received],
    script: (channel, answers) => void scripts[channel].push(...answers),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function channelOf(path: string): SinkChannel | null {
  if (path.startsWith("/api/")) return "discord";
  return path.startsWith("/bot") ? "telegram" : null;
}

function scriptedVerdict(scripted: ScriptedAnswer, judge: () => Verdict): Verdict {
  const taken = scripted.accept === true ? judge() : null;
  return {
    accepted: taken?.accepted ?? false,
    text: taken?.text ?? null,
    status: scripted.status ?? taken?.status ?? 0,
    body: scripted.status === undefined ? taken?.body ?? null : scripted.body ?? null,
    headers: scripted.headers ?? {},
  };
}

function answer(
  response: ServerResponse,
  { status, body, headers = {} }: Pick<Verdict, "status" | "body" | "headers">,
): void {
  const text = body === null ? "" : typeof body === "string" ? body : JSON.stringify(body);
  const type = typeof body === "string" ? "text/html; charset=utf-8" : "application/json";
  // on a connection that was used before, fetch would silently send again what is cut off
  response.writeHead(status, { "content-type": type, connection: "close", ...headers }).end(text);
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return await new Blob(chunks as BlobPart[]).text();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The alerts as received, newest first, as a page that reloads itself. */
function page(deliveries: readonly SinkDelivery[]): string {
  const items = deliveries.slice(-200).reverse().map(({ at, channel, status, accepted, text, raw }) =>
    `<article class="${accepted ? "taken" : "refused"}"><h2>${escape(channel)} <small>${escape(at)} · ${
      accepted ? "accepted" : `refused: ${status === 0 ? "connection cut" : status}`
    }</small></h2><pre>${escape(text ?? JSON.stringify(raw, null, 2))}</pre></article>`
  );
  return `<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Alerts received</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }
  article { border-left: 4px solid #12b76a; padding: .1rem 1rem; margin: 1.2rem 0; background: color-mix(in srgb, canvastext 5%, canvas) }
  article.refused { border-color: #d92d20 }
  h2 { font-size: 1rem } small { font-weight: normal; opacity: .7 } pre { white-space: pre-wrap; overflow-wrap: anywhere }
</style>
<h1>Alerts received: ${deliveries.filter(({ accepted }) => accepted).length}</h1>
${items.join("\n") || "<p>None yet.</p>"}`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  );
}
