/** Rows of `alert_config` for every channel of the sink, their secrets given by reference, as they should be. */
import { channels } from "../../supabase/functions/_shared/channels/mod.ts";
import type { ChannelName } from "../../supabase/functions/_shared/domain/delivery.ts";
import type { Stage } from "./outbox.ts";

/** Columns by the names that targets have. */
export const TARGET_COLUMNS: Readonly<Record<string, string>> = {
  webhookUrl: "webhook_url",
  botToken: "bot_token",
  chatId: "chat_id",
  apiKey: "api_key",
  account: "account",
  sender: "sender",
  recipients: "recipients",
};

/** Adds a row for a channel of the sink; answers its id. */
export async function addTarget(
  { sql, sink, env }: Pick<Stage, "sql" | "sink" | "env">,
  channel: ChannelName,
  over: Record<string, string> = {},
): Promise<string> {
  const { api } = channels[channel];
  if (api !== null) env[api.variable] = sink.url;
  const row: Record<string, string> = { channel };
  for (const [key, value] of Object.entries(sink.targets[channel])) {
    const column = TARGET_COLUMNS[key] ?? key;
    const secret = `${channel}_${column}`.toUpperCase();
    env[secret] = value;
    row[column] = `env:${secret}`;
  }
  const [config] = await sql<{ id: string }[]>`insert into alert_config ${
    sql({ ...row, ...over })
  } returning id`;
  return config?.id ?? "";
}
