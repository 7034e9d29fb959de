/** Where alerts go when nobody has said so yet, but secrets of channels exist. */
import type { ChannelName } from "../domain/delivery.ts";

/** A row of `alert_config` as it is inserted: columns by their names, secrets by reference. */
export interface DefaultAlertConfig {
  name: string;
  channel: ChannelName;
  criticality: "critical" | "important" | "low" | "all";
  webhook_url?: string;
  bot_token?: string;
  chat_id?: string;
  api_key?: string;
  account?: string;
  sender?: string;
  recipients?: string;
}

type Target = Omit<DefaultAlertConfig, "name" | "channel" | "criticality">;

/** A channel, and the secret behind each column of its target. */
interface Candidate {
  channel: ChannelName;
  target: Target;
}

/** What wakes somebody up; the first of them takes everything where there is nothing quieter. */
const LOUD: readonly Candidate[] = [
  { channel: "telegram", target: { bot_token: "TELEGRAM_BOT_TOKEN", chat_id: "TELEGRAM_CHAT_ID" } },
  { channel: "pagerduty", target: { api_key: "PAGERDUTY_ROUTING_KEY" } },
  {
    channel: "twilio",
    target: {
      account: "TWILIO_ACCOUNT_SID",
      api_key: "TWILIO_AUTH_TOKEN",
      sender: "TWILIO_FROM",
      recipients: "TWILIO_TO",
    },
  },
];

/** What is read when there is time. */
const QUIET: readonly Candidate[] = [
  { channel: "discord", target: { webhook_url: "DISCORD_WEBHOOK_URL" } },
  { channel: "slack", target: { webhook_url: "SLACK_WEBHOOK_URL" } },
];

const MAIL: readonly Candidate[] = [
  {
    channel: "resend",
    target: { api_key: "RESEND_API_KEY", sender: "RESEND_FROM", recipients: "ALERT_EMAIL_TO" },
  },
  {
    channel: "postmark",
    target: { api_key: "POSTMARK_SERVER_TOKEN", sender: "POSTMARK_FROM", recipients: "ALERT_EMAIL_TO" },
  },
];

/**
 * The rows for an empty `alert_config`: critical alerts to Telegram, PagerDuty and SMS, important and low ones to
 * Discord and Slack, everything by mail, each where all of its secrets exist. No severity stays without a row: what is
 * quiet takes critical alerts too where nothing is loud, and what is loud takes all where nothing else is there.
 */
export function defaultAlertConfigs(hasSecret: (name: string) => boolean): DefaultAlertConfig[] {
  const configured = (candidates: readonly Candidate[]) =>
    candidates.filter(({ target }) => Object.values(target).every(hasSecret));
  const loud = configured(LOUD);
  const quiet = configured(QUIET);
  const mail = configured(MAIL);
  const alone = quiet.length + mail.length === 0 ? loud[0] : undefined;
  return [
    ...loud.map((candidate) => rowOf(candidate, candidate === alone ? "all" : "critical")),
    ...quiet.flatMap((candidate) =>
      loud.length === 0
        ? [rowOf(candidate, "all")]
        : [rowOf(candidate, "important"), rowOf(candidate, "low", `${candidate.channel}-low`)]
    ),
    ...mail.map((candidate) => rowOf(candidate, "all")),
  ];
}

function rowOf(
  { channel, target }: Candidate,
  criticality: DefaultAlertConfig["criticality"],
  name: string = channel,
): DefaultAlertConfig {
  const references = Object.entries(target).map(([column, secret]) => [column, `env:${secret}`]);
  return { name, channel, criticality, ...Object.fromEntries(references) as Target };
}
