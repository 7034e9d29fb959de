/** The environment that the stack's functions see: what hosted Supabase gives, and the project's secrets. */
import { parseEnv } from "node:util";
import type { StackKeys } from "./state.ts";

/** Where everything is that the functions reach. */
export interface FunctionSurroundings {
  gatewayUrl: string;
  hubDbUrl: string;
  /** Postgres URLs by project name. */
  projectDbUrls: Readonly<Record<string, string>>;
  keys: StackKeys;
  sink: {
    url: string;
    discordWebhookUrl: string;
    telegramApiUrl: string;
    telegramBotToken: string;
    telegramChatId: string;
  };
}

/** Secrets of the user's own, and those that were left out, with the reason. */
export interface UserSecrets {
  values: Record<string, string>;
  refused: string[];
}

/**
 * Reads `KEY=VALUE` lines, as `supabase functions serve` does from `supabase/functions/.env`.
 * Names that begin with `SUPABASE_` are the platform's, and refused as the hosted one refuses them.
 */
export async function readUserSecrets(path: string): Promise<UserSecrets> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { values: {}, refused: [] };
    throw error;
  }
  const values: Record<string, string> = {};
  const refused: string[] = [];
  for (const [name, value] of Object.entries(parseEnv(text))) {
    if (value === undefined) continue;
    if (name.startsWith("SUPABASE_")) {
      refused.push(`${name}: names that begin with SUPABASE_ belong to the platform`);
    } else values[name] = value;
  }
  return { values, refused };
}

/** Everything a function sees, but for what differs from process to process. The user's secrets win over the stack's. */
export function functionEnvironment(
  { gatewayUrl, hubDbUrl, projectDbUrls, keys, sink }: FunctionSurroundings,
  userSecrets: Readonly<Record<string, string>>,
): Record<string, string> {
  const projects = Object.entries(projectDbUrls).map(([name, url]) =>
    [`${name.toUpperCase()}_SUPABASE_POSTGRES_URL`, url] as const
  );
  return {
    ...Object.fromEntries(projects),
    DISCORD_WEBHOOK_URL: sink.discordWebhookUrl,
    TELEGRAM_BOT_TOKEN: sink.telegramBotToken,
    TELEGRAM_CHAT_ID: sink.telegramChatId,
    TELEGRAM_API_URL: sink.telegramApiUrl,
    OUTGOING_ALLOWED_HOSTS: new URL(sink.url).host,
    ...userSecrets,
    SUPABASE_URL: gatewayUrl,
    SUPABASE_DB_URL: hubDbUrl,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishable }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.default, monitor: keys.monitor }),
    SUPABASE_JWKS: JSON.stringify({ keys: [] }),
  };
}
