/**
 * A network between senders and the vendors' fakes: passes requests on, or fails them in every way that networks and
 * vendors do, and keeps what became of each.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type SinkChannel, type SinkDelivery, startSink } from "../fakes/sink.ts";
import type { Sink } from "../fakes/sink.ts";

/** Faults, by whether the vendor gets the request. */
export const FAULTS = [
  "429",
  "500",
  "502 as HTML",
  "200 as HTML",
  "cut",
  "silent",
  "taken, then cut",
  "taken, then silent",
  "taken, then HTML",
  "slow",
] as const;
export type Fault = typeof FAULTS[number];

/** Names the sender of a request. */
export const SENDER_HEADER = "x-test-sender";
/** In an answer that stands for none: its sender is to wait in vain, and has no need to wait really. */
export const SILENCE_HEADER = "x-test-silence";
/** Wants the vendor to take a request and its sender to hear nothing of it. */
export const HOLD_HEADER = "x-test-hold";

/** A request as it passed. */
export interface Passage {
  sender: string;
  /** Which stretch of time, between two of which leases and waits run out. */
  epoch: number;
  /** Milliseconds of the machine's clock. */
  at: number;
  channel: SinkChannel;
  body: string;
  fault: Fault | "held" | "none";
  /** The vendor took it, and shows it. */
  accepted: boolean;
  /** The vendor's own answer went back. */
  answered: boolean;
}

/** A running network. */
export interface FaultyNetwork {
  url: string;
  /** As {@link Sink.targets}, through this network. */
  targets: Sink["targets"];
  passages: Passage[];
  /** How time is counted from now on. */
  epoch: number;
  /** What befalls the next request; `null`: nothing. */
  choose: (channel: SinkChannel) => Fault | null;
  /** Told when a request is held. */
  onHeld: (sender: string) => void;
  close(): Promise<void>;
}

/** Starts the network and the vendors' fakes behind it. */
export async function startFaultyNetwork(): Promise<FaultyNetwork> {
  let hours = 0;
  const seen: SinkDelivery[] = [];
  const sink = await startSink({
    // an hour a request, so that no fake throttles by itself
    now: () => Date.UTC(2026, 10, 21) + 3_600_000 * hours++,
    onDelivery: (delivery) => seen.push(delivery),
  });
  let line: Promise<unknown> = Promise.resolve();
  /** One request at a time, so that what the sink has seen last is what was passed on. */
  const passOn = (path: string, init: RequestInit) => {
    const next = line.then(async () => {
      seen.length = 0;
      const response = await fetch(sink.url + path, { method: "POST", ...init });
      const { status, headers } = response;
      return {
        status,
        headers: Object.fromEntries(headers),
        text: await response.text(),
        accepted: seen[0]?.accepted ?? false,
      };
    });
    line = next.catch(() => {});
    return next;
  };
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await readText(request);
    const path = request.url ?? "/";
    const channel = channelOf(path);
    const fault = HOLD_HEADER in request.headers ? "held" : network.choose(channel) ?? "none";
    const passage: Passage = {
      sender: String(request.headers[SENDER_HEADER] ?? ""),
      epoch: network.epoch,
      at: Date.now(),
      ...{ channel, body, fault },
      accepted: false,
      answered: false,
    };
    network.passages.push(passage);
    if (!isPassedOn(fault)) return answerInstead(fault, request, response);
    const vendor = await passOn(path, { headers: onward(request), body });
    passage.accepted = vendor.accepted;
    if (fault === "held") return network.onHeld(passage.sender);
    if (fault === "taken, then silent") return silence(response);
    if (fault === "taken, then cut") return void request.socket.destroy();
    if (fault === "taken, then HTML") return html(response, 200);
    if (fault === "slow") await new Promise((resolve) => setTimeout(resolve, 60));
    passage.answered = true;
    response.writeHead(vendor.status, { ...plainHeaders(vendor.headers), connection: "close" }).end(
      vendor.text,
    );
  };
  const server = createServer((request, response) => {
    serve(request, response).catch(() => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const network: FaultyNetwork = {
    url,
    targets: throughNetwork(sink, url),
    passages: [],
    epoch: 0,
    choose: () => null,
    onHeld: () => {},
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await sink.close();
    },
  };
  return network;
}

function isPassedOn(fault: Passage["fault"]): boolean {
  return fault === "none" || fault === "held" || fault === "slow" || fault.startsWith("taken");
}

function answerInstead(fault: Passage["fault"], request: IncomingMessage, response: ServerResponse): void {
  switch (fault) {
    case "cut":
      return void request.socket.destroy();
    case "silent":
      return silence(response);
    case "200 as HTML":
      return html(response, 200);
    case "502 as HTML":
      return html(response, 502);
    default:
      response.writeHead(Number(fault), { connection: "close", "retry-after": "7" }).end('{"message":"no"}');
  }
}

function silence(response: ServerResponse): void {
  response.writeHead(204, { connection: "close", [SILENCE_HEADER]: "yes" }).end();
}

function html(response: ServerResponse, status: number): void {
  response.writeHead(status, { connection: "close", "content-type": "text/html" })
    .end("<html><body>Please sign in to the network</body></html>");
}

function channelOf(path: string): SinkChannel {
  const beginnings: [RegExp, SinkChannel][] = [
    [/^\/api\/webhooks/, "discord"],
    [/^\/bot/, "telegram"],
    [/^\/services/, "slack"],
    [/^\/emails/, "resend"],
    [/^\/email/, "postmark"],
    [/^\/2010-04-01/, "twilio"],
    [/^\/v2\/enqueue/, "pagerduty"],
    [/^\/hooks/, "webhook"],
  ];
  const found = beginnings.find(([beginning]) => beginning.test(path))?.[1];
  if (found === undefined) throw new Error(`Nobody answers at "${path}"`);
  return found;
}

function onward(request: IncomingMessage): Record<string, string> {
  const dropped = new Set(["host", "connection", "content-length", SENDER_HEADER, HOLD_HEADER]);
  return Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) =>
      dropped.has(name) || value === undefined ? [] : [[name, String(value)]]
    ),
  );
}

function plainHeaders(headers: Record<string, string>): Record<string, string> {
  const dropped = new Set(["connection", "content-length", "transfer-encoding", "content-encoding", "date"]);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name)));
}

function throughNetwork(sink: Sink, url: string): Sink["targets"] {
  return JSON.parse(JSON.stringify(sink.targets).replaceAll(sink.url, url));
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return await new Blob(chunks as BlobPart[]).text();
}
