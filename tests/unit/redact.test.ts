/** Secrets taken out of text. */
import assert from "node:assert/strict";
import {
  formsOf,
  redact,
  secretBlanker,
  secretParts,
} from "../../supabase/functions/_shared/rules/redact.ts";
import { failureFields } from "../../supabase/functions/_shared/log.ts";

/** Pieces are joined here so that no scanner takes this file for a leak. */
const joined = (...parts: string[]) => parts.join("");

const JWT = joined(
  "eyJhbGciOiJIUzI1NiJ9",
  ".eyJyb2xlIjoiYW5vbiJ9",
  ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
);

const CASES: readonly [what: string, text: string, expected: string][] = [
  [
    "a connection string",
    "at postgres://app:hunter2@db.x.co:5432/postgres",
    "at postgres://app:***@db.x.co:5432/postgres",
  ],
  ["a password with @ and /", "postgresql://u:p@ss/w@db/x", "postgresql://u:***@db/x"],
  ["another URL's password", "https://user:pass@example.com/x", "https://user:***@example.com/x"],
  ["a keyword DSN", "host=db user=app password=hunter2 dbname=x", "host=db user=app password=*** dbname=x"],
  ["an environment", "PGPASSWORD=hunter2 DB_PASSWORD_PROD: 'a b'", "PGPASSWORD=*** DB_PASSWORD_PROD: '***'"],
  ["SQL", "alter role app password 'hunter2'", "alter role app password '***'"],
  [
    "JSON",
    '{"api_key": "abc123", "token": "def456", "name": "x"}',
    '{"api_key": "***", "token": "***", "name": "x"}',
  ],
  ["a JWT", `apikey ${JWT} refused`, "apikey *** refused"],
  [
    "Supabase keys",
    joined("sb_sec", "ret_abcDEF123 sb_publish", "able_xyz789"),
    "sb_secret_*** sb_publishable_***",
  ],
  ["a Supabase access token", joined("sb", "p_0123456789abcdef0123456789abcdef01234567"), "sbp_***"],
  ["a bearer token", "Authorization: Bearer abcdef123456", "Authorization: Bearer ***"],
  ["a bearer token alone", "sent bearer abcdefghijklmnop.qrst", "sent bearer ***"],
  ["basic auth", "authorization: Basic dXNlcjpwYXNz", "authorization: Basic ***"],
  [
    "a Discord webhook",
    joined("https://discord.com/api/web", "hooks/123456789012345678/abcDEF_ghi-jkl"),
    "https://discord.com/api/webhooks/123456789012345678/***",
  ],
  [
    "a Slack webhook",
    joined("https://hooks.slack", ".com/services/T00000000/B00000000/XXXXXXXXXXXXXXXX"),
    "https://hooks.slack.com/services/***",
  ],
  ["a Slack token", joined("xox", "b-123456789012-abcdefghij"), "xoxb-***"],
  [
    "a Telegram bot's URL",
    joined("https://api.telegram.org/bot", "123456789", ":AAF-abcdefghijklmnopqrstuvwxyz01234/sendMessage"),
    "https://api.telegram.org/bot123456789:***/sendMessage",
  ],
  ["a GitHub token", joined("gh", "p_abcdefghijklmnopqrstuvwxyz0123456789"), "ghp_***"],
  ["a Stripe key", joined("sk_", "live_abcdefghijklmnopqrstuvwx"), "sk_live_***"],
  ["a query parameter", "GET /x?id=5&token=abcdef&y=1", "GET /x?id=5&token=***&y=1"],
  ["32 bytes of hex", `key ${"ab12".repeat(16)}.`, "key ***."],
  ["32 bytes of Base64", `key ${"Ab1+".repeat(10)}Ab1= end`, "key *** end"],
  [
    "a private key",
    joined("-----BEGIN RSA PRIV", "ATE KEY-----\nMIIB\n-----END RSA PRIV", "ATE KEY----- after"),
    "*** after",
  ],
];

for (const [what, text, expected] of CASES) {
  Deno.test(`redact() hides ${what}`, () => {
    assert.equal(redact(text), expected);
    assert.equal(redact(redact(text)), expected, "and does not mind doing it twice");
  });
}

Deno.test("redact() leaves alone what only looks like a secret", () => {
  for (
    const text of [
      'password authentication failed for user "postgres"',
      "ERROR:  division by zero",
      "incident 6f1d9c1e-4b0a-4f57-9d3f-1d2f7c0a9b11 at commit 2b66fd261ee5c6cfc8de7fa466bab600bcfe4f69",
      'syntax error at or near "token": unexpected end',
      "https://wiki.acme.com:8443/runbooks/sync?page=2",
      'connection to server at "db.acme.com" (10.0.0.1), port 5432 failed',
      "secretary of state, passwordless login, keyboard",
      "select * from cron.job where jobid = 12345678",
    ]
  ) assert.equal(redact(text), text);
});

Deno.test("redact() hides secrets that it is told, wherever they stand", () => {
  assert.equal(redact("bad token s3cr3t-thing.", ["s3cr3t-thing"]), "bad token ***.");
  assert.equal(redact("a b c", ["a"]), "a b c", "but not words too short to be one");
});

Deno.test("redact() is done with 100 kB of the worst", () => {
  const worst = [
    "a".repeat(100_000),
    "://a:".repeat(20_000),
    "postgres://".repeat(9_000),
    "postgres://a:".repeat(7_000),
    "eyJ".repeat(33_000),
    "eyJaaaaaaaa.".repeat(8_000),
    "password=".repeat(11_000),
    "password ".repeat(11_000),
    `password='${"a".repeat(100_000)}`,
    "bearer ".repeat(14_000),
    "authorization: ".repeat(6_000),
    "-----BEGIN PRIVATE KEY-----".repeat(3_700),
    "sk-".repeat(33_000),
    "Ab1+".repeat(25_000),
    "deadbeef".repeat(12_500),
    "123456:".repeat(14_000),
    "M".repeat(50_000) + ".".repeat(50_000),
    "/api/webhooks/".repeat(7_000),
    " ".repeat(100_000),
  ];
  for (const text of worst) {
    assert.ok(redact(text).length <= text.length, text.slice(0, 20));
  }
});

Deno.test("redact() finds a known secret as URLs, JSON and headers write it", () => {
  const secret = 'p"a\\s/s wörd';
  for (const form of formsOf(secret)) {
    assert.equal(redact(`before ${form} after`, [secret]), "before *** after", form);
  }
});

Deno.test("secretParts() finds what of a value is secret by itself", () => {
  assert.deepEqual(secretParts("postgresql://u:a%40b@h:5432/x").slice(1), ["a%40b", "a@b"]);
  assert.deepEqual(secretParts("postgresql://u:a#b@c@h:5432/x").slice(1), ["a#b@c"]);
  assert.deepEqual(secretParts("https://hooks.slack.com/services/T0/B0/abcdefghijklmnopqrstuvwx").slice(1), [
    "abcdefghijklmnopqrstuvwx",
  ]);
  assert.deepEqual(secretParts("123456:abcdefghijklmnopqrstuvwx").slice(1), ["abcdefghijklmnopqrstuvwx"]);
  assert.deepEqual(secretParts("short"), ["short"]);
});

Deno.test("secretBlanker() blanks configured secrets wherever they stand, and no word that merely is a password too", () => {
  const blank = secretBlanker(["postgresql://postgres:postgres@h/x", "a.secret+of(ours)"]);
  const at = new Date(0);
  const facts = {
    jobs: [{ name: "a.secret+of(ours) twice a.secret+of(ours)", user: "postgres", at }],
    runs: [1, null],
  };
  assert.deepEqual(blank(facts), {
    jobs: [{ name: "*** twice ***", user: "postgres", at }],
    runs: [1, null],
  });
  assert.equal(facts.jobs[0]?.name, "a.secret+of(ours) twice a.secret+of(ours)");
  const clean = { jobs: [{ name: "aXsecret+of(ours)" }] };
  assert.equal(blank(clean), clean);
  assert.equal(secretBlanker([])(facts), facts);
});

Deno.test("the log of an unforeseen error holds no password of a URL", () => {
  const error = new TypeError("Invalid URL: 'postgresql://u:a#b@c@h:5432/x'");
  assert.doesNotMatch(String(failureFields(error).message), /a#b/);
});
