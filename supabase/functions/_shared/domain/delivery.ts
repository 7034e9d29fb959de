/** Deliveries: one message owed to one channel. */
import { z } from "zod";
import { criticality, type Severity } from "./job.ts";
import { incident } from "./incident.ts";

/** The channels that exist; a new one is one file and one registry line. */
export const channelName = z.enum([
  "discord",
  "telegram",
  "slack",
  "resend",
  "postmark",
  "twilio",
  "pagerduty",
  "webhook",
]);
export type ChannelName = z.infer<typeof channelName>;

/**
 * Why a message is owed. `acknowledged` goes only to vendors that keep the alert's state themselves; `report` tells of no
 * incident and is rendered when it is owed.
 */
export const deliveryEvent = z.enum(["opened", "reminder", "acknowledged", "resolved", "test", "report"]);
export type DeliveryEvent = z.infer<typeof deliveryEvent>;

/**
 * `due`: owed, tried from `next_attempt_at` on. `sent`: the vendor said so. `failed`: the vendor will never take it.
 * `unroutable`: no enabled row of `alert_config` takes it; routed as soon as one does. `cancelled`: no longer owed.
 */
export const deliveryState = z.enum(["due", "sent", "failed", "unroutable", "cancelled"]);
export type DeliveryState = z.infer<typeof deliveryState>;

/** What a refusal for good is about: where it went, or what it said. */
export const refusalSubject = z.enum(["target", "message"]);
export type RefusalSubject = z.infer<typeof refusalSubject>;

/** News of an incident that a row of `alert_config` may take. */
export const newsEvent = z.enum(["opened", "reminder", "resolved"]);
export type NewsEvent = z.infer<typeof newsEvent>;

/** What routing needs of a row of `alert_config`; no secret is among it. */
export const alertRoute = z.object({
  id: z.string(),
  name: z.string().nullable(),
  channel: channelName,
  /** Which severities this row takes. */
  criticality: z.enum([...criticality.options, "all"]),
  enabled: z.boolean(),
  /** The only project whose alerts it takes; `null`: all. */
  projectName: z.string().nullable(),
  /** The least grave severity it takes; `null`: as `criticality` says. */
  minSeverity: criticality.nullable(),
  events: z.array(newsEvent),
  /** `22:00`; both or neither are set. */
  quietFrom: z.string().nullable(),
  quietUntil: z.string().nullable(),
  quietTimeZone: z.string(),
  /** 0: no reminders. */
  repeatMinutes: z.number(),
  /** Critical incidents come here only when nobody has acknowledged them for so long; `null`: at once. */
  escalationMinutes: z.number().nullable(),
  /** Nothing but such escalations comes here. */
  onlyEscalations: z.boolean(),
  /** Who takes over for a dead channel: the lowest first. */
  priority: z.number(),
  /** Rows with the same one send to the same target; no secret can be read from it. */
  targetKey: z.string(),
  /** Set while its channel refuses everything; instants in epoch milliseconds. */
  dead: z.object({ reason: z.string(), since: z.number(), lastFailureAt: z.number().nullable() }).nullable(),
  lastSuccessAt: z.number().nullable(),
});
export type AlertRoute = z.infer<typeof alertRoute>;

/** Where a channel's messages go, as a person wrote it in `alert_config`: values or `vault:NAME` / `env:NAME`. */
export const alertTarget = z.object({
  webhookUrl: z.string().nullable(),
  botToken: z.string().nullable(),
  chatId: z.string().nullable(),
  /** Resend's key, Postmark's server token, Twilio's auth token, PagerDuty's routing key, a webhook's signing secret. */
  apiKey: z.string().nullable(),
  /** Twilio's account SID. */
  account: z.string().nullable(),
  /** `From` of mails; number, name or messaging service of SMS. */
  sender: z.string().nullable(),
  /** Addresses or numbers, comma separated. */
  recipients: z.string().nullable(),
  /** Postmark's. */
  messageStream: z.string().nullable(),
  /** A thread of Discord, a topic of Telegram. */
  threadId: z.string().nullable(),
});
export type AlertTarget = z.infer<typeof alertTarget>;

/** A row of `alert_config`: what it takes and where it sends to. */
export const alertConfigRow = alertRoute.extend({ target: alertTarget });
export type AlertConfigRow = z.infer<typeof alertConfigRow>;

/** How far one part of a message has come, such as the SMS to one of several numbers. */
export const partProgress = z.object({
  state: z.enum(["open", "sent", "failed"]),
  /** Attempts of which nobody knows whether the vendor took them. */
  unanswered: z.number().int(),
  providerId: z.string().nullable(),
  error: z.string().nullable(),
});
export type PartProgress = z.infer<typeof partProgress>;

/** An alert that a target got before of some of the same incidents. */
export const thread = z.object({
  /** The vendor's id of it. */
  providerId: z.string(),
  /** Whether everything that it told of is over. */
  over: z.boolean(),
  /** Whether somebody has taken on everything of it that is not over. */
  acknowledged: z.boolean().optional(),
});
export type Thread = z.infer<typeof thread>;

/** A message as rendered for one channel and stored: a retry sends the same bytes. It holds no secret. */
export const renderedMessage = z.object({
  /** The request body, without anything of the target. */
  body: z.record(z.string(), z.unknown()),
  /** The same in plain text. */
  plain: z.string(),
  /** What became of its parts, by {@link partProgress}, where one message takes several requests. */
  progress: z.record(z.string(), partProgress).optional(),
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
  /** Why this channel is told, where that needs a word. */
  note: z.string().nullish(),
  target: alertTarget,
  rendered: renderedMessage.nullable(),
  incidents: z.array(incident),
  threads: z.array(thread).default([]),
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
  /** How many incidents it names, in a message that tells of many. */
  incidents?: number;
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
  /** What the target was told before of these incidents; none unless said otherwise. */
  threads?: readonly Thread[];
  /** The same facts as words, for channels that sort by them. */
  about?: MessageSubject;
  /** The delivery that a press of a button under this message is about; without it the message has no buttons. */
  pressed?: string;
  at: Date;
}

/** What a message is about; each `null` where its incidents differ. All untrusted text. */
export interface MessageSubject {
  project: string | null;
  /** Job, metric, channel. */
  subject: string | null;
  /** The verdict, `failed`. */
  code: string | null;
}
