/** Deliveries: one message owed to one channel. */
import { z } from "zod";
import { criticality, type Severity } from "./job.ts";
import { incident } from "./incident.ts";

/** The channels that exist; a new one is one file and one registry line. */
export const channelName = z.enum(["discord", "telegram"]);
export type ChannelName = z.infer<typeof channelName>;

/** Why a message is owed. */
export const deliveryEvent = z.enum(["opened", "reminder", "resolved", "test"]);
export type DeliveryEvent = z.infer<typeof deliveryEvent>;

/**
 * `due`: owed, tried from `next_attempt_at` on. `sent`: the vendor said so. `failed`: the vendor will never take it.
 * `unroutable`: no enabled row of `alert_config` takes it; routed as soon as one does. `cancelled`: no longer owed.
 */
export const deliveryState = z.enum(["due", "sent", "failed", "unroutable", "cancelled"]);
export type DeliveryState = z.infer<typeof deliveryState>;

/** What routing needs of a row of `alert_config`; no secret is among it. */
export const alertRoute = z.object({
  id: z.string(),
  name: z.string().nullable(),
  channel: channelName,
  /** Which severities this row takes. */
  criticality: z.enum([...criticality.options, "all"]),
  enabled: z.boolean(),
});
export type AlertRoute = z.infer<typeof alertRoute>;

/** Where a channel's messages go, as a person wrote it in `alert_config`: values or `vault:NAME` / `env:NAME`. */
export const alertTarget = z.object({
  webhookUrl: z.string().nullable(),
  botToken: z.string().nullable(),
  chatId: z.string().nullable(),
});
export type AlertTarget = z.infer<typeof alertTarget>;

/** A row of `alert_config`: what it takes and where it sends to. */
export const alertConfigRow = alertRoute.extend({ target: alertTarget });
export type AlertConfigRow = z.infer<typeof alertConfigRow>;

/** A message as rendered for one channel and stored: a retry sends the same bytes. It holds no secret. */
export const renderedMessage = z.object({
  /** The request body, without anything of the target. */
  body: z.record(z.string(), z.unknown()),
  /** The same in plain text. */
  plain: z.string(),
});
export type RenderedMessage = z.infer<typeof renderedMessage>;

/** A delivery that `send-alert` has claimed; the lease keeps every other sender away until it ends. */
export const claimedDelivery = z.object({
  id: z.string(),
  leaseToken: z.string(),
  /** Attempts made, this one included. */
  attempts: z.number().int(),
  alertConfigId: z.string(),
  channel: channelName,
  event: deliveryEvent,
  target: alertTarget,
  rendered: renderedMessage.nullable(),
  incidents: z.array(incident),
});
export type ClaimedDelivery = z.infer<typeof claimedDelivery>;

/** A delivery that no row of `alert_config` took, with all that decides what becomes of it. */
export const unroutableDelivery = z.object({
  id: z.string(),
  channel: z.string().nullable(),
  event: deliveryEvent,
  lastError: z.string().nullable(),
  /** The row or channel that the job asks for. */
  alertChannel: z.string().nullable(),
  incidents: z.array(incident),
  /** Whether anybody was told of one of the incidents before. */
  toldBefore: z.boolean(),
  /** Rows of `alert_config` that have their own delivery of the same news, and what became of it. */
  covered: z.array(z.object({ alertConfigId: z.string(), state: deliveryState })),
});
export type UnroutableDelivery = z.infer<typeof unroutableDelivery>;

/** A label and its value; both untrusted text until a channel escapes them. */
export interface MessageField {
  label: string;
  value: string;
  /** A time is given as its instant too, so that a channel can show it in the reader's zone. */
  at?: Date;
}

/** What an alert says, before any channel has escaped, cut or coloured it. */
export interface Message {
  event: DeliveryEvent;
  severity: Severity;
  /** Verdict first: `FAILED: sync_leads in smoothed · critical`. */
  title: string;
  /** What is wrong and why, a sentence or two. */
  cause: string;
  fields: MessageField[];
  /** What the job said, redacted, up to 100 kB: a channel cuts it to what it takes. */
  excerpt: string | null;
  /** The last ten runs, oldest first, one sign each. */
  strip: string | null;
  /** https only. */
  links: { label: string; url: string }[];
  /** Incident id and origin. */
  footer: string;
  /** Ids of every incident that this message tells of, for channels that pair an opening with its recovery. */
  incidentIds: string[];
  at: Date;
}
