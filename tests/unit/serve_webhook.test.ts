/** Vendors' calls: known by a secret or a signature, bounded, checked; and what else is told. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { z } from "zod";
import { AppError } from "../../supabase/functions/_shared/errors.ts";
import { serveWebhook, type WebhookDefinition } from "../../supabase/functions/_shared/http/serve_webhook.ts";
import { isSecret, isSigned, secretsIn } from "../../supabase/functions/_shared/http/signatures.ts";

const SECRET = "a-long-secret_0123456789";
const encode = (text: string) => new TextEncoder().encode(text);

function webhook(over: Partial<WebhookDefinition<{ n: number }>> = {}) {
  return serveWebhook({
    name: "vendor-webhook",
    status: 202,
    authenticate: (headers) => isSecret(headers.get("x-secret"), [SECRET]),
    input: z.object({ n: z.number() }),
    run: ({ n }) => Promise.resolve({ twice: 2 * n }),
    ...over,
  });
}

/** A call; the log's lines are nobody's output. */
async function call(
  served: ReturnType<typeof webhook>,
  body: BodyInit,
  headers: Record<string, string> = { "x-secret": SECRET },
  method = "POST",
) {
  const { warn, error } = console;
  const lines: string[] = [];
  const keep = (line: string) => void lines.push(line);
  Object.assign(console, { warn: keep, error: keep });
  try {
    const request = new Request("http://hub/vendor-webhook", {
      method,
      headers,
      ...method === "GET" ? {} : { body },
    });
    const response = await served.fetch(request);
    return { status: response.status, json: await response.json(), lines: lines.join("\n") };
  } finally {
    Object.assign(console, { warn, error });
  }
}

Deno.test("a vendor's call is checked, done and answered with the status that the vendor wants", async () => {
  const { status, json } = await call(webhook(), '{"n": 2, "other": {}}');
  assert.deepEqual([status, json.ok, json.twice], [202, true, 4]);
});

Deno.test("whoever does not know the secret gets 401 without a hint, whatever he sends", async () => {
  for (const headers of [{}, { "x-secret": "" }, { "x-secret": SECRET.slice(1) }, { apikey: SECRET }]) {
    for (const body of ['{"n": 2}', "{", ""]) {
      const { status, json, lines } = await call(webhook(), body, headers as Record<string, string>);
      assert.equal(status, 401);
      assert.deepEqual(json.error, { code: "unauthorized", message: "Unauthorized" });
      assert.ok(!lines.includes(SECRET.slice(1)), "what was sent is not logged");
    }
  }
});

Deno.test("what is no call of ours is a 4xx that names every fault, and nothing is done", async () => {
  const untouched = webhook({ run: () => Promise.reject(new Error("it ran")) });
  const refusals: [body: BodyInit, message: RegExp][] = [
    ["{", /it is not JSON/],
    ["[]", /it is not a JSON object/],
    [new Uint8Array([0xff, 0xfe]), /it is not JSON/],
    ['{"n": "2"}', /n: /],
  ];
  for (const [body, message] of refusals) {
    const { status, json } = await call(untouched, body);
    assert.equal(status, 400);
    assert.match(json.error.message, message);
  }
  const tooLong = await call(untouched, `{"n": 1, "x": "${"x".repeat(300_000)}"}`);
  assert.equal(tooLong.status, 413);
  assert.match(tooLong.json.error.message, /more than 262144 bytes/);
  assert.equal((await call(untouched, "", {}, "GET")).status, 405);
});

Deno.test("what goes wrong with us is a 5xx, so that the vendor tries again, without a word about why", async () => {
  const down = webhook({ run: () => Promise.reject(new AppError("hub_unreachable", "Cannot x: y")) });
  assert.equal((await call(down, '{"n": 2}')).status, 503);
  const broken = await call(webhook({ run: () => Promise.reject(new Error("at secret:1")) }), '{"n": 2}');
  assert.equal(broken.status, 500);
  assert.ok(!JSON.stringify(broken.json).includes("secret:1"));
});

Deno.test("isSecret() knows each secret of a list and no other, and nothing where there is none", async () => {
  const secrets = secretsIn(" one,two \n three ");
  assert.deepEqual(secrets, ["one", "two", "three"]);
  for (const secret of secrets) assert.equal(await isSecret(secret, secrets), true);
  for (const other of [null, "", "on", "one,two", "One", "one "]) {
    assert.equal(await isSecret(other, secrets), false);
  }
  for (const given of [null, "", "undefined"]) {
    assert.equal(await isSecret(given, secretsIn(undefined)), false);
  }
});

Deno.test("isSigned() takes a body that one of the signatures fits, as Node's own HMAC makes it", async () => {
  const body = encode('{"event":{"title":"größer 🚨"}}');
  const sign = (secret: string, of = body) => `v1=${createHmac("sha256", secret).update(of).digest("hex")}`;
  const [right, wrong] = [sign(SECRET), sign("another")];
  for (
    const header of [
      right,
      `${wrong},${right}`,
      `${right}, ${wrong}`,
      ` ${right.toUpperCase().replace("V1", "v1")}`,
    ]
  ) {
    assert.equal(await isSigned(header, body, [SECRET]), true, header);
  }
  assert.equal(
    await isSigned(wrong, body, [SECRET, "another"]),
    true,
    "one secret while another replaces it",
  );
  const refused = [
    null,
    "",
    wrong,
    right.slice(0, -1),
    right.slice(3),
    right.replace("v1", "v2"),
    sign(SECRET, encode("{}")),
  ];
  for (const header of refused) assert.equal(await isSigned(header, body, [SECRET]), false, String(header));
  assert.equal(await isSigned(sign(""), body, secretsIn("")), false, "no secret, no entry");
});
