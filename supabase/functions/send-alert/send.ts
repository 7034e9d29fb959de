/** One message to one target: references resolved, sent, the answer read, once more where the vendor says how. */
import type { AlertTarget, ChannelName, RenderedMessage } from "../_shared/domain/delivery.ts";
import { AppError } from "../_shared/errors.ts";
import { channels } from "../_shared/channels/mod.ts";
import type { Outcome } from "../_shared/channels/channel.ts";
import { deliver } from "../_shared/channels/deliver.ts";
import { guardUrl } from "../_shared/channels/url_guard.ts";
import { resolveSecret } from "../_shared/hub/secrets.ts";
import { redact, secretParts } from "../_shared/rules/redact.ts";
import { clean } from "../_shared/rules/text.ts";
import type { SendAlertDeps } from "./deps.ts";
import { sendParts, type SendResult } from "./send_parts.ts";

/** Characters of an error that are stored and answered. */
const ERROR_LIMIT = 1_000;
/** After this long no further part of a message is begun, so that a slow vendor does not take the time of the others. */
const PARTS_MS = 10_000;

/** What is sent, and where to. */
export interface Sending {
  /** Id of the delivery, or of the test. */
  id: string;
  channel: ChannelName;
  /** As written in `alert_config`. */
  target: AlertTarget;
  /** What a retry sends again; rendered now where there is none. */
  rendered: RenderedMessage | null;
  render(): RenderedMessage;
  /** Keeps what is about to be sent and answers what is to be sent; `null` stops the sending. */
  store(rendered: RenderedMessage): Promise<RenderedMessage | null>;
  /** Whether a request that begins now is over, and can be settled, before anybody else may send this. */
  inTime(): boolean;
}

/**
 * Sends one message. Whatever is wrong with the target or its secrets is a result too: it can be set right, so it is
 * tried again. `note` is called with what a person should know although the message got through.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`, from `store`.
 */
export async function send(
  sending: Sending,
  deps: SendAlertDeps,
  note: (text: string) => void,
): Promise<SendResult> {
  const target = await resolveTarget(sending, deps);
  if (!target.resolved) return notReady(target.error);
  const scrub = (text: string) => clean(redact(text, target.secrets)).slice(0, ERROR_LIMIT).toWellFormed();
  const rendered = sending.rendered ?? await sending.store(sending.render());
  if (rendered === null) return { kind: "lost" };
  if (!sending.inTime()) return { kind: "late" };
  if (channels[sending.channel].parts !== undefined) {
    return scrubbed(await sendInParts(sending, rendered, target, deps, (text) => note(scrub(text))), scrub);
  }
  const first = await post(sending, rendered, target, deps);
  if (first.kind === "sent" && first.note !== undefined) note(scrub(first.note));
  if (first.kind !== "resend") return scrubbed(first, scrub);
  note(scrub(first.note));
  const other = await sending.store(first.rendered);
  if (other === null) return { kind: "lost" };
  if (!sending.inTime()) return notReady(scrub(`${first.note}. There was no time left for it`));
  const second = await post(sending, other, target, deps);
  if (second.kind !== "resend") return scrubbed(second, scrub);
  return { kind: "permanent", error: scrub(second.note), about: "message" };
}

function sendInParts(
  sending: Sending,
  rendered: RenderedMessage,
  target: { value: unknown; secrets: string[] },
  deps: SendAlertDeps,
  note: (text: string) => void,
): Promise<SendResult> {
  const channel = channels[sending.channel];
  const begun = deps.clock().getTime();
  return sendParts({
    rendered,
    parts: channel.parts?.(rendered, target.value) ?? [],
    unansweredLimit: channel.unansweredLimit ?? Infinity,
    inTime: () => deps.clock().getTime() - begun <= PARTS_MS && sending.inTime(),
    store: async (progressed) => await sending.store(progressed) !== null,
    post: (state, part) => post(sending, state, target, deps, part),
    note,
  });
}

/** A target with its secrets in place, or what is wrong with it. `written`: what its columns say or refer to. */
export type ResolvedTarget =
  | {
    resolved: true;
    value: unknown;
    secrets: string[];
    written: { readonly [column in keyof AlertTarget]?: string };
  }
  | { resolved: false; error: string };

/**
 * Resolves the references of a row of `alert_config` and checks what they lead to.
 */
export async function resolveTarget(
  { channel, target }: Pick<Sending, "channel" | "target">,
  deps: SendAlertDeps,
): Promise<ResolvedTarget> {
  try {
    const written = Object.entries(target).flatMap(([key, text]) =>
      text === null ? [] : [[key, text] as const]
    );
    const values = await Promise.all(
      written.map(async ([key, text]) =>
        [key, await resolveSecret(text, { sql: deps.sql, env: deps.config.secret })] as const
      ),
    );
    const parsed = channels[channel].target.safeParse(Object.fromEntries(values));
    if (!parsed.success) {
      const faults = parsed.error.issues.map((issue) => issue.message).join("; ");
      return { resolved: false, error: `Cannot use its row of alert_config: ${faults}` };
    }
    // found before anything is owed there, not when it is sent
    for (const [key, url] of values) {
      if (key === "webhookUrl") guardUrl(url, deps.config.outgoingAllowedHosts);
    }
    return {
      resolved: true,
      value: parsed.data,
      written: Object.fromEntries(values),
      secrets: values.flatMap(([key, value]) => PUBLIC.has(key) ? phoneNumbers(value) : secretParts(value)),
    };
  } catch (error) {
    if (error instanceof AppError) return { resolved: false, error: error.message };
    throw error;
  }
}

/** What an error may name, so that a person sees which address it is about; a person's number stays theirs. */
const PUBLIC = new Set(["sender", "recipients", "messageStream", "threadId"]);

function phoneNumbers(value: string): string[] {
  return value.match(/\+\d[\d\s().-]{5,20}\d/g)?.flatMap((one) => [one, `+${one.replace(/\D/g, "")}`]) ?? [];
}

async function post(
  sending: Sending,
  rendered: RenderedMessage,
  target: { value: unknown; secrets: string[] },
  deps: SendAlertDeps,
  part?: string,
): Promise<Outcome> {
  const channel = channels[sending.channel];
  const apiUrl = channel.api === null ? "" : deps.config.secret(channel.api.variable) ?? channel.api.url;
  const request = await channel.request(rendered, target.value, {
    deliveryId: sending.id,
    apiUrl,
    now: deps.clock(),
    ...part === undefined ? {} : { part },
  });
  try {
    const answer = await deliver(request, {
      allowedHosts: deps.config.outgoingAllowedHosts,
      secrets: target.secrets,
      ...(deps.fetch === undefined ? {} : { fetch: deps.fetch }),
    });
    return channel.outcome(answer, rendered);
  } catch (error) {
    if (error instanceof AppError) return notReady(error.message);
    throw error;
  }
}

function notReady(error: string): Extract<Outcome, { kind: "retry" }> {
  return { kind: "retry", error, retryAfterMs: null, throttled: false };
}

function scrubbed<T extends SendResult>(result: T, scrub: (text: string) => string): T {
  return "error" in result ? { ...result, error: scrub(result.error) } : result;
}
