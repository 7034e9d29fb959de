/** The environment of the stack's functions. */
import assert from "node:assert/strict";
import { functionEnvironment, readUserSecrets } from "../../../scripts/local/stack_env.ts";

const SURROUNDINGS = {
  gatewayUrl: "http://127.0.0.1:1",
  hubDbUrl: "postgres://hub",
  projectDbUrls: { smoothed: "postgres://smoothed", thordata: "postgres://hub" },
  keys: { default: "sb_secret_d", monitor: "sb_secret_m", publishable: "sb_publishable_p" },
  sink: {
    url: "http://127.0.0.1:2",
    discordWebhookUrl: "http://127.0.0.1:2/api/webhooks/1/t",
    telegramApiUrl: "http://127.0.0.1:2",
    telegramBotToken: "1:t",
    telegramChatId: "-1",
  },
};

Deno.test("functionEnvironment() gives what hosted Supabase gives, and the project's secrets", () => {
  assert.deepEqual(functionEnvironment(SURROUNDINGS, { MY_SECRET: "mine" }), {
    SUPABASE_URL: "http://127.0.0.1:1",
    SUPABASE_DB_URL: "postgres://hub",
    SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_p"}',
    SUPABASE_SECRET_KEYS: '{"default":"sb_secret_d","monitor":"sb_secret_m"}',
    SUPABASE_JWKS: '{"keys":[]}',
    SMOOTHED_SUPABASE_POSTGRES_URL: "postgres://smoothed",
    THORDATA_SUPABASE_POSTGRES_URL: "postgres://hub",
    DISCORD_WEBHOOK_URL: "http://127.0.0.1:2/api/webhooks/1/t",
    TELEGRAM_BOT_TOKEN: "1:t",
    TELEGRAM_CHAT_ID: "-1",
    TELEGRAM_API_URL: "http://127.0.0.1:2",
    OUTGOING_ALLOWED_HOSTS: "127.0.0.1:2",
    MY_SECRET: "mine",
  });
});

Deno.test("the user's secrets win over the stack's", () => {
  const env = functionEnvironment(SURROUNDINGS, {
    DISCORD_WEBHOOK_URL: "https://discord.com/api/webhooks/2/u",
  });
  assert.equal(env["DISCORD_WEBHOOK_URL"], "https://discord.com/api/webhooks/2/u");
});

Deno.test("readUserSecrets() reads KEY=VALUE, refuses the platform's names, and needs no file", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "# mine\nA=1\nB='two words'\nSUPABASE_DB_URL=postgres://elsewhere\n");
  const { values, refused } = await readUserSecrets(path);
  assert.deepEqual(values, { A: "1", B: "two words" });
  assert.equal(refused.length, 1);
  assert.match(refused[0] ?? "", /^SUPABASE_DB_URL/);
  await Deno.remove(path);
  assert.deepEqual(await readUserSecrets(path), { values: {}, refused: [] });
});
