/** What a channel is: it renders a message, builds a request and reads the vendor's answer. It never fetches. */
import type { z } from "zod";
import type { ChannelName, Message, RefusalSubject, RenderedMessage } from "../domain/delivery.ts";
import type { Report } from "../domain/report.ts";

/** One HTTP request, ready to send. It holds the target's secrets: never log or store it. */
export interface OutgoingRequest {
  url: string;
  method: "POST";
  headers: Record<string, string>;
  body: string;
}

/** What came of a request, free of secrets. */
export type VendorAnswer =
  | {
    kind: "response";
    status: number;
    /** The answer's body, or `null` where it is not JSON. */
    json: unknown;
    /** Its beginning as text, scrubbed, for error messages. */
    excerpt: string;
    /** Milliseconds that the header `Retry-After` asks to wait. */
    retryAfterMs: number | null;
  }
  /** No connection, a broken one, or a redirect. `unsent`: certainly none, so the vendor has nothing of it. */
  | { kind: "network"; unsent?: true }
  | { kind: "timeout" };

/** What a channel makes of an answer. */
export type Outcome =
  /** The vendor said that it has the message. `note`: what a person should know nevertheless. */
  | { kind: "sent"; providerId: string | null; note?: string }
  /**
   * The same request may succeed later. `throttled`: the vendor wants fewer messages, so the target rests. `unanswered`:
   * nobody knows whether the vendor took it, and taking it twice does harm.
   */
  | { kind: "retry"; error: string; retryAfterMs: number | null; throttled: boolean; unanswered?: true }
  /**
   * The same request will never succeed. `about`: whether other messages would not either (`target`), or it is only this
   * one (`message`). `partOnly`: those for the message's other parts may.
   */
  | { kind: "permanent"; error: string; about: RefusalSubject; partOnly?: true }
  /** Send this instead, once and at once. `note` says why, and what a person should change. */
  | { kind: "resend"; rendered: RenderedMessage; note: string };

/** What a request needs besides message and target. */
export interface RequestOptions {
  /** Stable over the retries of a delivery: for vendors with idempotency keys. */
  deliveryId: string;
  /** The vendor's API, or what stands in for it; empty where the target is the address. */
  apiUrl: string;
  /** For vendors that want to know when a request was signed. */
  now: Date;
  /** Id of the part that is sent, where a message has {@link Channel.parts}. */
  part?: string;
}

/** What takes a request of its own. */
export interface MessagePart {
  /** Stable over the retries of a delivery. */
  id: string;
  /** For errors: `the number ending in 4567`. */
  label: string;
}

/** A way to reach people. */
export interface Channel<Target> {
  readonly name: ChannelName;
  /** Where the vendor's API is, and the variable that overrides it; `null` where the target is the address. */
  readonly api: { url: string; variable: string } | null;
  /** Least time between two messages to one target, in milliseconds, so that the vendor does not throttle us. */
  readonly paceMs: number;
  /** What it needs of a row of `alert_config` once references are resolved. */
  readonly target: z.ZodType<Target>;
  /** The function secret without which presses of its buttons never reach us: then its messages have none. */
  readonly pressSecret?: string;
  /** The message within the vendor's limits, nothing in it acting as markup or mention. */
  render(message: Message): RenderedMessage;
  /** A report in a form of its own, within the same limits; without it, a report is written as a message. */
  renderReport?(report: Report): RenderedMessage;
  /** What takes a request each, such as the recipients of an SMS; without it, a message is one request. */
  parts?(rendered: RenderedMessage, target: Target): readonly MessagePart[];
  /** How often a part may be attempted without an answer, where an attempt too many does harm. */
  readonly unansweredLimit?: number;
  /** May be asynchronous for vendors that want a signature. */
  request(
    rendered: RenderedMessage,
    target: Target,
    options: RequestOptions,
  ): OutgoingRequest | Promise<OutgoingRequest>;
  /** Reads the answer to a request for `rendered`. */
  outcome(answer: VendorAnswer, rendered: RenderedMessage): Outcome;
}

/** Statuses that speak of the key or the place, whatever the message says. */
const TARGET_STATUSES: ReadonlySet<number> = new Set([401, 403, 404, 410]);

/**
 * The outcome of everything that is not special to a vendor: 429, 5xx, network and timeout are tried again, every other
 * refusal is permanent; 401, 403, 404 and 410 are about the target, the rest about the message unless `about` says
 * otherwise. `error` is what the vendor said, `retryAfterMs` what its body asks for.
 */
export function plainOutcome(
  vendor: string,
  answer: VendorAnswer,
  said: {
    error?: string | undefined;
    retryAfterMs?: number | null;
    about?: RefusalSubject | undefined;
  } = {},
): Outcome {
  if (answer.kind !== "response") {
    const error = answer.kind === "timeout"
      ? `${vendor} did not answer in time`
      : `${vendor} could not be reached`;
    return { kind: "retry", error, retryAfterMs: null, throttled: false };
  }
  const { status } = answer;
  const reason = said.error ?? answer.excerpt;
  const error = `${vendor} answered ${status}${reason === "" ? "" : `: ${reason}`}`;
  if (status === 429 || status >= 500 || (status >= 200 && status < 300)) {
    // a success that does not say that the message was taken is none
    const retryAfterMs = Math.max(answer.retryAfterMs ?? 0, said.retryAfterMs ?? 0) || null;
    return { kind: "retry", error, retryAfterMs, throttled: status === 429 };
  }
  const about = said.about ?? (TARGET_STATUSES.has(status) ? "target" : "message");
  return { kind: "permanent", error, about };
}
