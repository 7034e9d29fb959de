/** Messages that take several requests. */
import assert from "node:assert/strict";
import type { Outcome } from "../../supabase/functions/_shared/channels/channel.ts";
import type { RenderedMessage } from "../../supabase/functions/_shared/domain/delivery.ts";
import { sendParts } from "../../supabase/functions/send-alert/send_parts.ts";
import { NOW } from "../support/alerts.ts";

const SENT: Outcome = { kind: "sent", providerId: "SM1" };
const BUSY: Outcome = { kind: "retry", error: "busy", retryAfterMs: 7, throttled: true };
const SILENT: Outcome = {
  kind: "retry",
  error: "no answer",
  retryAfterMs: null,
  throttled: false,
  unanswered: true,
};
const STOPPED: Outcome = { kind: "permanent", error: "unsubscribed", about: "target", partOnly: true };
const WRONG_KEY: Outcome = { kind: "permanent", error: "wrong key", about: "target" };

/** Parts and what the vendor answers to each, attempt by attempt. */
function stage(script: Record<string, Outcome[]>, { limit = 2, secondsEach = 0 } = {}) {
  let kept: RenderedMessage = { body: {}, plain: "" };
  let now = NOW.getTime();
  const posted: string[] = [];
  const notes: string[] = [];
  let alive = true;
  const attempt = () => {
    const begun = now;
    return sendParts({
      rendered: kept,
      parts: Object.keys(script).map((id) => ({ id, label: `part ${id}` })),
      unansweredLimit: limit,
      inTime: () => now - begun <= 10_000,
      store: (rendered) => Promise.resolve(alive && (kept = JSON.parse(JSON.stringify(rendered)), true)),
      post: (_, id) => {
        posted.push(id);
        now += 1_000 * secondsEach;
        const outcome = script[id]?.shift();
        return outcome === undefined
          ? Promise.reject(new Error(`${id} is sent too often`))
          : Promise.resolve(outcome);
      },
      note: (text) => notes.push(text),
    });
  };
  return { attempt, posted, notes, kept: () => kept, die: () => void (alive = false) };
}

Deno.test("each part is sent once", async () => {
  const { attempt, posted } = stage({ a: [SENT], b: [SENT] });
  assert.deepEqual(await attempt(), SENT);
  assert.deepEqual(posted, ["a", "b"]);
});

Deno.test("a retry goes on where the last attempt stopped", async () => {
  const { attempt, posted } = stage({ a: [SENT], b: [BUSY, SENT], c: [SENT] });
  assert.deepEqual(await attempt(), BUSY);
  assert.deepEqual(await attempt(), SENT);
  assert.deepEqual(posted, ["a", "b", "b", "c"]);
});

Deno.test("a part that fails for good leaves the others theirs, and a person is told", async () => {
  const { attempt, notes } = stage({ a: [STOPPED], b: [SENT] });
  assert.deepEqual(await attempt(), SENT);
  assert.deepEqual(notes, ["part a: unsubscribed"]);
});

Deno.test("a message of which every part has failed has failed", async () => {
  const { attempt } = stage({ a: [STOPPED], b: [STOPPED] });
  assert.deepEqual(await attempt(), {
    kind: "permanent",
    about: "target",
    error: "part a: unsubscribed; part b: unsubscribed",
  });
});

Deno.test("what is wrong with the account stops all parts", async () => {
  const { attempt, posted } = stage({ a: [WRONG_KEY], b: [SENT] });
  assert.deepEqual(await attempt(), {
    kind: "permanent",
    about: "target",
    error: "part a: wrong key",
  });
  assert.deepEqual(posted, ["a"]);
});

Deno.test("an attempt without an answer is made once more, and never a third time", async () => {
  const { attempt, posted } = stage({ a: [SILENT, SILENT] });
  assert.equal((await attempt()).kind, "retry");
  const second = await attempt();
  assert.ok(
    second.kind === "permanent" && second.about === "message" &&
      /part a: no answer\. It is not sent again/.test(second.error),
  );
  assert.equal((await attempt()).kind, "permanent");
  assert.deepEqual(posted, ["a", "a"]);
});

Deno.test("who dies while sending counts as an attempt without an answer", async () => {
  const dying = stage({ a: [SENT, SENT, SENT] });
  // what is kept before the sending is all that a dead process leaves
  const before: RenderedMessage[] = [];
  for (let run = 0; run < 3; run++) {
    const crashed = await sendParts({
      rendered: before.at(-1) ?? dying.kept(),
      parts: [{ id: "a", label: "a" }],
      unansweredLimit: 2,
      inTime: () => true,
      store: (rendered) => Promise.resolve(before.push(rendered) > 0),
      post: () => Promise.reject(new Error("died")),
      note: () => {},
    }).catch(() => null);
    if (run < 2) assert.equal(crashed, null);
    else assert.equal(crashed?.kind, "permanent");
  }
});

Deno.test("refusals that the vendor has told do not count as attempts without an answer", async () => {
  const { attempt, posted } = stage({ a: [BUSY, BUSY, BUSY, SENT] });
  for (let run = 0; run < 3; run++) assert.deepEqual(await attempt(), BUSY);
  assert.deepEqual(await attempt(), SENT);
  assert.equal(posted.length, 4);
});

Deno.test("a vendor that repeats harmlessly may be asked without limit", async () => {
  const { attempt } = stage({ a: [SILENT, SILENT, SILENT, SENT] }, { limit: Infinity });
  for (let run = 0; run < 3; run++) assert.equal((await attempt()).kind, "retry");
  assert.deepEqual(await attempt(), SENT);
});

Deno.test("a slow vendor does not outlast the lease: the rest waits", async () => {
  const { attempt, posted } = stage({ a: [SENT], b: [SENT], c: [SENT] }, { secondsEach: 6 });
  const first = await attempt();
  assert.ok(first.kind === "retry" && first.error.includes("1 part is left"));
  assert.equal((await attempt()).kind, "sent");
  assert.deepEqual(posted, ["a", "b", "c"]);
});

Deno.test("nothing is sent once another has the lease", async () => {
  const { attempt, posted, die } = stage({ a: [SENT] });
  die();
  assert.deepEqual(await attempt(), { kind: "lost" });
  assert.deepEqual(posted, []);
});

Deno.test("a message without parts is done, and says so", async () => {
  const { attempt, notes } = stage({});
  assert.deepEqual(await attempt(), { kind: "sent", providerId: null });
  assert.match(notes[0] ?? "", /Nothing had to be sent/);
});

Deno.test("progress names parts by a fingerprint only", async () => {
  const { attempt, kept } = stage({ "+15551234567": [SENT] });
  await attempt();
  assert.ok(!JSON.stringify(kept()).includes("5551234567"));
});
