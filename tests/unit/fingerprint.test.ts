import assert from "node:assert/strict";
import { fingerprint, groupErrors } from "../../supabase/functions/_shared/rules/fingerprint.ts";
import { HOSTILE } from "../support/alerts.ts";

/** Messages and the one fingerprint that they have. */
const SAME: readonly [fingerprint: string, ...messages: string[]][] = [
  [
    "ERROR: duplicate key value violates unique constraint <value>",
    'ERROR:  duplicate key value violates unique constraint "orders_pkey"\nDETAIL:  Key (id)=(42) already exists.',
    'ERROR:  duplicate key value violates unique constraint "users_email_key"\nDETAIL:  Key (email)=(a@b.co) exists.',
  ],
  [
    "user <id> not found in batch_<n>",
    "user 5d0e0f6e-8d7c-4c39-a4f5-b0f7a1a7e001 not found in batch_17",
    "user 6F1D9C1E-4B0A-4F57-9D3F-1D2F7C0A9B11 not found in batch_9000",
  ],
  [
    "timeout at <time> after <n> ms",
    "timeout at 2026-11-21T12:45:00.123Z after 5000 ms",
    "timeout at 2026-11-20 03:00:01+00:00 after 12.5 ms",
    "timeout at 12:45:00 after 1,204 ms",
  ],
  [
    "Key (id)=(<value>) is not present",
    "Key (id)=(42) is not present",
    "Key (id)=(a, b) is not present",
  ],
  [
    "GET https://api.acme.com/orders/<n> answered 502 after <n> ms",
    "GET https://api.acme.com/orders/17?page=2&key=abc answered 502 after 90 ms",
    "GET https://api.acme.com/orders/99 answered 502 after 1204 ms",
  ],
  [
    "no such object <id>",
    "no such object deadbeef01234567",
    "no such object 0x7ffee4b2c9d8",
    "no such object 0x1F",
  ],
  ["user <value> can't sign in", "user 'bob' can't sign in", `user "o'brien" can't sign in`],
  ["mail to <address> bounced", "mail to ann@acme.com bounced", "mail to bob.b+x@mail.example.org bounced"],
  ["column <value> of <value>", `column 'a' of "b"`, "column `c` of “d”"],
];

for (const [expected, ...messages] of SAME) {
  Deno.test(`errors that differ in values only are one: ${expected}`, () => {
    for (const message of messages) assert.equal(fingerprint(message), expected, message);
  });
}

Deno.test("different errors stay different, and words are left alone", () => {
  assert.notEqual(fingerprint("ERROR: division by zero"), fingerprint("ERROR: deadlock detected"));
  assert.equal(fingerprint("added facade defaced"), "added facade defaced");
  assert.equal(fingerprint("don't stop"), "don't stop");
  assert.equal(fingerprint("can't open user's file"), "can't open user's file");
  assert.notEqual(fingerprint("can't open user's file"), fingerprint("can't parse user's file"));
  assert.equal(fingerprint("the call got 404 from x"), "the call got 404 from x");
  assert.equal(fingerprint("HTTP 404, status: 503, answered 500"), "HTTP 404, status: 503, answered 500");
  assert.equal(
    fingerprint("answered 5000 rows, status 7, exit code 404"),
    "answered <n> rows, status <n>, exit code <n>",
  );
});

Deno.test("a fingerprint is of the first line that says something, and has no secret", () => {
  assert.equal(fingerprint("\n \n first \nsecond"), "first");
  assert.equal(fingerprint(""), "(no message)");
  assert.doesNotMatch(fingerprint("cannot connect to postgres://u:hunter22@host/db"), /hunter22/);
});

Deno.test("a fingerprint is short and takes no time whatever the message is", () => {
  for (const text of Object.values(HOSTILE)) assert.ok(fingerprint(text).length <= 160);
  assert.ok(fingerprint("'\"".repeat(50_000)).length <= 160);
  assert.ok(fingerprint("1:1-1.1@".repeat(20_000)).length <= 160);
});

Deno.test("failures are grouped over jobs, or by job, those with most first", () => {
  const failure = (job: string, message: string, count: number, firstAt = 10) => ({
    ...{ project: "p", job, message, count, before: 1, firstAt, lastAt: firstAt + 5 },
  });
  const failures = [failure("a", "lost 1", 2), failure("b", "lost 2", 3, 4), failure("a", "other", 4)];
  assert.deepEqual(groupErrors(failures), [
    {
      ...{ fingerprint: "lost <n>", count: 5, before: 2, firstAt: 4, lastAt: 15 },
      jobs: [{ project: "p", job: "b", count: 3 }, { project: "p", job: "a", count: 2 }],
    },
    {
      fingerprint: "other",
      jobs: [{ project: "p", job: "a", count: 4 }],
      count: 4,
      before: 1,
      firstAt: 10,
      lastAt: 15,
    },
  ]);
  assert.deepEqual(
    groupErrors(failures, "fingerprint and job").map(({ fingerprint, count }) => [fingerprint, count]),
    [["other", 4], ["lost <n>", 3], ["lost <n>", 2]],
  );
});
