/**
 * A sink for alerts: one HTTP server on loopback that stands for every vendor, strict as they are. Shows what it
 * received at `GET /`, and as JSON at `GET /deliveries`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createDiscord, type DiscordWebhook } from "./discord.ts";
import { createPagerDuty } from "./pagerduty.ts";
import { createPostmark } from "./postmark.ts";
import { createResend } from "./resend.ts";
import { createSlack } from "./slack.ts";
import { createTelegram, type FakeTelegram, type TelegramBot } from "./telegram.ts";
import { createTwilio } from "./twilio.ts";
import type { Verdict } from "./verdict.ts";
import { createWebhook } from "./webhook.ts";

/** Vendors that the sink stands for. */
export type SinkChannel =
  | "discord"
  | "telegram"
  | "slack"
  | "resend"
  | "postmark"
  | "twilio"
  | "pagerduty"
  | "webhook";

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
  /** What people do with its messages. */
  telegram: Pick<FakeTelegram, "press" | "buttonsOf">;
  /** What reaches each vendor, by the names that a channel's target has. */
  targets: Readonly<Record<SinkChannel, Readonly<Record<string, string>>>>;
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
const SLACK = { path: "/services/T0LOCAL/B0SINK/localsinkslackwebhooktoken01" };
const MAIL_DOMAIN = "hub.example.com";
const MAIL_TARGET = {
  sender: `Supabase Job Monitor <alerts@${MAIL_DOMAIN}>`,
  recipients: "dana@example.com, Oncall <oncall@example.com>",
};
const RESEND = { apiKey: "re_localsink_0123456789abcdefghijklmn", domain: MAIL_DOMAIN };
const POSTMARK = {
  token: "00000000-0000-4000-8000-10ca151470c0",
  domain: MAIL_DOMAIN,
  streams: ["outbound", "alerts"],
};
const TWILIO = {
  sid: "AC00000000000000000000000000510ca1",
  authToken: "510ca1auth00000000000000token000",
  number: "+15005550006",
  messagingService: "MG00000000000000000000000000510ca1",
};
const PAGERDUTY = { routingKey: "R0LOCALSINKPAGERDUTYROUTINGKEY00" };
const WEBHOOK_ENDPOINT = {
  path: "/hooks/alerts",
  secret: "whsec_bG9jYWwgc2luayB3ZWJob29rIHNpZ25pbmcgc2VjcmV0",
};
/** Requests kept; older ones are forgotten. */
const KEPT = 10_000;

/** Starts the sink. */
export async function startSink(options: SinkOptions = {}): Promise<Sink> {
  const { port = 0, hostname = "127.0.0.1", now = Date.now, onDelivery } = options;
  if (!/^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(hostname)) {
    throw new Error(`The sink listens on loopback only, not on "${hostname}"`);
  }
  const telegram = createTelegram(BOT, now);
  const vendors: Record<SinkChannel, (url: URL, raw: string, headers: Headers) => Verdict> = {
    discord: createDiscord(WEBHOOK, now),
    telegram: telegram.call,
    slack: createSlack(SLACK, now),
    resend: createResend(RESEND, now),
    postmark: createPostmark(POSTMARK, now),
    twilio: createTwilio(TWILIO),
    pagerduty: createPagerDuty(PAGERDUTY, now),
    webhook: createWebhook(WEBHOOK_ENDPOINT),
  };
  const scripts = new Map<SinkChannel, ScriptedAnswer[]>();
  const received: SinkDelivery[] = [];

  const receive = async (
    channel: SinkChannel,
    url: URL,
    request: IncomingMessage,
    response: ServerResponse,
  ) => {
    const raw = await readText(request);
    const scripted = scripts.get(channel)?.shift();
    const judge = () => vendors[channel](url, raw, headersOf(request));
    const verdict = scripted?.status === undefined && scripted?.accept !== true && scripted?.destroy !== true
      ? judge()
      : scriptedVerdict(scripted, judge);
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
    telegram,
    deliveries: () => [...received],
    targets: targetsAt(url),
    script: (channel, answers) => void scripts.set(channel, [...scripts.get(channel) ?? [], ...answers]),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Beginnings of the vendors' paths; Postmark's is one of Resend's. */
const PATHS: readonly [path: RegExp, channel: SinkChannel][] = [
  [/^\/api\//, "discord"],
  [/^\/bot/, "telegram"],
  [/^\/services\//, "slack"],
  [/^\/emails/, "resend"],
  [/^\/email/, "postmark"],
  [/^\/2010-04-01\//, "twilio"],
  [/^\/v2\/enqueue/, "pagerduty"],
  [/^\/hooks\//, "webhook"],
];

function channelOf(path: string): SinkChannel | null {
  return PATHS.find(([beginning]) => beginning.test(path))?.[1] ?? null;
}

function headersOf(request: IncomingMessage): Headers {
  return new Headers(
    Object.entries(request.headers).map(([name, value]) => [name, String(value)] as [string, string]),
  );
}

function targetsAt(url: string): Sink["targets"] {
  return {
    discord: { webhookUrl: `${url}/api/webhooks/${WEBHOOK.id}/${WEBHOOK.token}` },
    telegram: { botToken: BOT.token, chatId: BOT.chatId },
    slack: { webhookUrl: url + SLACK.path },
    resend: { apiKey: RESEND.apiKey, ...MAIL_TARGET },
    postmark: { apiKey: POSTMARK.token, ...MAIL_TARGET },
    twilio: {
      account: TWILIO.sid,
      apiKey: TWILIO.authToken,
      sender: TWILIO.number,
      recipients: "+15551234567",
    },
    pagerduty: { apiKey: PAGERDUTY.routingKey },
    webhook: { webhookUrl: url + WEBHOOK_ENDPOINT.path, apiKey: WEBHOOK_ENDPOINT.secret },
  };
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
