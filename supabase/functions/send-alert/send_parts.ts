/** A message that takes several requests: each part is sent once, and a retry goes on where the last attempt stopped. */
import type { MessagePart, Outcome } from "../_shared/channels/channel.ts";
import type { PartProgress, RenderedMessage } from "../_shared/domain/delivery.ts";

/** How it went. `lost`: somebody else sends it. `late`: nothing was sent, since there was no time left for it. */
export type SendResult = Exclude<Outcome, { kind: "resend" }> | { kind: "lost" } | { kind: "late" };

/** What {@link sendParts} sends, and with what. */
export interface PartsSending {
  rendered: RenderedMessage;
  parts: readonly MessagePart[];
  /** Attempts without an answer that a part may have; then it has failed, since each may have reached somebody. */
  unansweredLimit: number;
  /** Whether there is time for one more part; the rest waits for the next attempt. */
  inTime(): boolean;
  /** Keeps the progress; `false` stops the sending. */
  store(rendered: RenderedMessage): Promise<boolean>;
  post(rendered: RenderedMessage, part: string): Promise<Outcome>;
  note(text: string): void;
}

const OPEN: PartProgress = { state: "open", unanswered: 0, providerId: null, error: null };

/**
 * Sends the parts that are still open, one after the other, and stops at the first that has to be tried again. Sent as
 * soon as one part is and none is open; `note` is told which others have failed.
 */
export async function sendParts(sending: PartsSending): Promise<SendResult> {
  const keys = await Promise.all(sending.parts.map(({ id }) => fingerprint(id)));
  let { rendered } = sending;
  const progressOf = (key: string) => rendered.progress?.[key] ?? OPEN;
  const keep = (key: string, progress: PartProgress) => {
    rendered = { ...rendered, progress: { ...rendered.progress, [key]: progress } };
    return sending.store(rendered);
  };
  for (const [index, part] of sending.parts.entries()) {
    const key = keys[index] ?? "";
    const before = progressOf(key);
    if (before.state !== "open") continue;
    if (!sending.inTime()) return outOfTime(sending.parts.length - index);
    const step = await sendPart(sending, part, before, (progress) => keep(key, progress), () => rendered);
    if (step !== null) return step;
  }
  return conclude(keys.map(progressOf), sending.note);
}

/** One part; `null` when it is done with, whether it was sent or has failed. */
async function sendPart(
  { post, unansweredLimit }: PartsSending,
  { id, label }: MessagePart,
  before: PartProgress,
  keep: (progress: PartProgress) => Promise<boolean>,
  rendered: () => RenderedMessage,
): Promise<SendResult | null> {
  const failed = (error: string) => ({ ...before, state: "failed", error: `${label}: ${error}` }) as const;
  const unanswered = before.unanswered + 1;
  const counted = Number.isFinite(unansweredLimit);
  if (unanswered > unansweredLimit) return lostUnless(await keep(failed(GIVEN_UP)));
  // counted before it is sent: who dies while sending leaves an attempt without an answer
  if (counted && !await keep({ ...before, unanswered })) return { kind: "lost" };
  const outcome = await post(rendered(), id);
  switch (outcome.kind) {
    case "sent":
      return lostUnless(await keep({ ...before, state: "sent", providerId: outcome.providerId }));
    case "permanent":
      if (outcome.partOnly !== true) return { ...outcome, error: `${label}: ${outcome.error}` };
      return lostUnless(await keep(failed(outcome.error)));
    case "retry":
      if (outcome.unanswered !== true) return counted && !await keep(before) ? { kind: "lost" } : outcome;
      if (unanswered < unansweredLimit) return outcome;
      return lostUnless(await keep(failed(`${outcome.error}. ${GIVEN_UP}`)));
    case "resend":
      return { kind: "permanent", error: `${label}: ${outcome.note}`, about: "message" };
  }
}

const GIVEN_UP = "It is not sent again, since an attempt without an answer may have got through";

function lostUnless(kept: boolean): SendResult | null {
  return kept ? null : { kind: "lost" };
}

function outOfTime(left: number): SendResult {
  const error = `The vendor is slow: ${left} ${
    left === 1 ? "part is" : "parts are"
  } left for the next attempt`;
  return { kind: "retry", error, retryAfterMs: null, throttled: false };
}

function conclude(progress: readonly PartProgress[], note: (text: string) => void): SendResult {
  const errors = progress.flatMap(({ error }) => error === null ? [] : [error]);
  const sent = progress.filter(({ state }) => state === "sent");
  if (sent.length === 0 && progress.length > 0) {
    // a vendor that never answered has refused nobody
    const refused = progress.some(({ unanswered }) => unanswered === 0);
    return { kind: "permanent", error: errors.join("; "), about: refused ? "target" : "message" };
  }
  if (progress.length === 0) note("Nothing had to be sent: what the vendor has of this still holds");
  else if (errors.length > 0) note(errors.join("; "));
  return { kind: "sent", providerId: sent[0]?.providerId ?? null };
}

/** What is kept instead of a number or address. */
async function fingerprint(id: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(id));
  return [...new Uint8Array(digest, 0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
