/** What one tick of the alert policy decides: reminders, escalations, holds, drops, failovers. */
import assert from "node:assert/strict";
import type { PolicyDecision } from "../../supabase/functions/_shared/domain/policy.ts";
import { alertRow } from "../support/alerts.ts";
import { at, HOUR, MINUTE, NOON } from "../support/facts.ts";
import {
  decideAt,
  policyDelivery,
  policyIncident,
  policyView,
  restless,
  silence,
  told,
} from "../support/policy.ts";

/** `admit`, `hold: why`, `cancel: why` by delivery. */
function fates({ settle }: PolicyDecision): Record<string, string> {
  return Object.fromEntries(
    settle.map((one) => [one.id, one.fate === "admit" ? "admit" : `${one.fate}: ${one.reason}`]),
  );
}

function created({ create }: PolicyDecision): string[] {
  return create.map(({ alertConfigId, event, incidents }) => `${alertConfigId} ${event} ${incidents.join()}`);
}

/** Open since ten minutes and told to row `a` then. */
const TOLD = policyIncident({ told: [told("a", NOON - 10 * MINUTE)] });
const ENDED = policyIncident({ resolvedAt: NOON - MINUTE });

// --- openings ---

Deno.test("an opening is let through at the first tick, and not looked at again", () => {
  const waiting = policyView({ incidents: [policyIncident()], deliveries: [policyDelivery()] });
  assert.deepEqual(fates(decideAt(waiting)), { delivery: "admit" });
  const admitted = policyView({
    incidents: [policyIncident()],
    deliveries: [policyDelivery({ admitted: true })],
  });
  assert.deepEqual(decideAt(admitted).settle, []);
});

Deno.test("an incident that was over at once is told once", () => {
  const over = policyIncident({ openedAt: NOON, resolvedAt: NOON });
  assert.deepEqual(fates(decideAt(policyView({ incidents: [over], deliveries: [policyDelivery()] }))), {
    delivery: "admit",
  });
});

Deno.test("info is owed nothing, whatever happens to it", () => {
  const info = policyIncident({ severity: "info", openedAt: NOON - 48 * HOUR, owed: false });
  const decision = decideAt(policyView({ incidents: [info] }));
  assert.deepEqual([decision.create, decision.settle], [[], []]);
});

Deno.test("an incident that nobody was ever owed a word of is told, such as info that became grave", () => {
  const raised = policyIncident({ owed: false });
  assert.deepEqual(created(decideAt(policyView({ incidents: [raised] }))), ["a opened incident"]);
});

// --- reminders ---

Deno.test("a reminder is owed when the repeat interval has passed since the row was last told, not before", () => {
  const remind = (minutes: number, repeatMinutes = 360) =>
    created(decideAt(policyView({
      routes: [alertRow("a", { repeatMinutes })],
      incidents: [policyIncident({ told: [told("a", NOON - minutes * MINUTE)] })],
    })));
  assert.deepEqual(remind(359), []);
  assert.deepEqual(remind(360), ["a reminder incident"]);
  assert.deepEqual(remind(30, 30), ["a reminder incident"]);
  assert.deepEqual(remind(9_999, 0), [], "0 means no reminders");
});

Deno.test("a reminder is guarded: only while the incident is open and not acknowledged when it is written", () => {
  const old = policyIncident({ told: [told("a", NOON - 7 * HOUR)] });
  const [reminder] = decideAt(policyView({ incidents: [old] })).create;
  assert.deepEqual([reminder?.whileOpen, reminder?.unacknowledged, reminder?.admitted], [true, true, true]);
});

Deno.test("no second reminder while one waits, none for acknowledged incidents, none for rows that want none", () => {
  const since = NOON - 7 * HOUR;
  const quiet = [
    policyIncident({ told: [told("a", since, { due: ["reminder"], live: ["opened", "reminder"] })] }),
    policyIncident({ told: [told("a", since)], acknowledgedBy: "dana" }),
  ];
  for (const incident of quiet) assert.deepEqual(decideAt(policyView({ incidents: [incident] })).create, []);
  const rows = [alertRow("a", { events: ["opened", "resolved"] })];
  const incidents = [policyIncident({ told: [told("a", since)] })];
  assert.deepEqual(decideAt(policyView({ routes: rows, incidents })).create, []);
});

Deno.test("a row that hears of reminders alone gets its first one an interval after the incident opened", () => {
  const routes = [alertRow("a", { events: ["reminder"] })];
  const remind = (hours: number) =>
    created(decideAt(policyView({
      routes,
      incidents: [policyIncident({ openedAt: NOON - hours * HOUR, owed: false })],
    })));
  assert.deepEqual(remind(5), []);
  assert.deepEqual(remind(6), ["a reminder incident"]);
});

Deno.test("a reminder that still waits is dropped when the incident ends or somebody takes it on", () => {
  const reminder = policyDelivery({ event: "reminder" });
  const drop = (incident: ReturnType<typeof policyIncident>) =>
    fates(decideAt(policyView({ incidents: [incident], deliveries: [reminder] }))).delivery;
  assert.equal(drop(ENDED), "cancel: The incident ended before this reminder was sent");
  assert.equal(drop(policyIncident({ acknowledgedBy: "dana" })), "cancel: Acknowledged by dana");
});

Deno.test("reminders of one project and condition that are due together are one message", () => {
  const incidents = Array.from(
    { length: 20 },
    (_, index) => policyIncident({ id: `i${index}`, told: [told("a", NOON - 7 * HOUR)] }),
  );
  const { create } = decideAt(policyView({ incidents }));
  assert.equal(create.length, 1);
  assert.equal(create[0]?.incidents.length, 20);
});

Deno.test("over a day of ticks an open incident is told once and reminded three times", () => {
  let incident = policyIncident({ openedAt: NOON, told: [told("a", NOON)] });
  let reminders = 0;
  for (let now = NOON; now < NOON + 24 * HOUR; now += MINUTE) {
    const { create } = decideAt(policyView({ incidents: [incident] }), now);
    reminders += create.length;
    if (create.length > 0) incident = { ...incident, told: [told("a", now)] };
  }
  assert.equal(reminders, 3);
});

// --- ends ---

Deno.test("an end that overtakes an unsent beginning cancels both, with the reason", () => {
  const decision = decideAt(policyView({
    incidents: [ENDED],
    deliveries: [policyDelivery(), policyDelivery({ id: "end", event: "resolved" })],
  }));
  const reason = "cancel: It ended before it was told: neither its beginning nor its end is sent";
  assert.deepEqual(fates(decision), { delivery: reason, end: reason });
});

Deno.test("also where the beginning was refused for now, but not where the vendor may have it", () => {
  const both = (over: Parameters<typeof policyDelivery>[0], heard: boolean) =>
    Object.keys(fates(decideAt(policyView({
      incidents: [{
        ...ENDED,
        told: [told("a", 0, { heard, firstAt: null, lastAt: null, due: ["opened"] })],
      }],
      deliveries: [
        policyDelivery({ admitted: true, attempts: 1, ...over }),
        policyDelivery({ id: "end", event: "resolved" }),
      ],
    }))));
  assert.deepEqual(both({ lastError: "Discord answered 503" }, false), ["delivery", "end"]);
  assert.deepEqual(both({ uncertain: true }, true), ["end"], "which is let through, after the beginning");
});

Deno.test("of one message about many, only what has ended is cut out", () => {
  const open = policyIncident({ id: "open" });
  const decision = decideAt(policyView({
    incidents: [ENDED, open],
    deliveries: [
      policyDelivery({ incidents: ["incident", "open"] }),
      policyDelivery({ id: "end", event: "resolved" }),
    ],
  }));
  assert.equal(fates(decision).delivery, "admit");
  assert.match(fates(decision).end ?? "", /^cancel/);
  const [part] = decision.create;
  assert.deepEqual([part?.incidents, part?.admitted], [["incident"], false]);
  assert.match(part?.cancelled ?? "", /ended before it was told/);
  assert.deepEqual(decision.remove, [{ deliveryId: "delivery", incidentId: "incident", into: part?.id }]);
});

Deno.test("the end goes to whoever was told of the beginning, and to nobody else", () => {
  const ended = policyIncident({
    resolvedAt: NOON - MINUTE,
    told: [told("a", NOON - HOUR), told("c", NOON - HOUR)],
  });
  const decision = decideAt(policyView({
    routes: [alertRow("a"), alertRow("b"), alertRow("c")],
    incidents: [ended],
    deliveries: ["a", "b"].map((row) => policyDelivery({ id: `end ${row}`, row, event: "resolved" })),
  }));
  assert.deepEqual(fates(decision), {
    "end a": "admit",
    "end b": "cancel: This row was never told that it began",
  });
  assert.deepEqual(created(decision), ["c resolved incident"]);
});

Deno.test("a row that hears of ends alone gets them", () => {
  const view = policyView({
    routes: [alertRow("a", { events: ["resolved"] })],
    incidents: [ENDED],
    deliveries: [policyDelivery({ event: "resolved" })],
  });
  assert.deepEqual(fates(decideAt(view)), { delivery: "admit" });
});

Deno.test("an acknowledgement does not stop the end from being told", () => {
  const view = policyView({
    incidents: [{ ...TOLD, resolvedAt: NOON, acknowledgedBy: "dana" }],
    deliveries: [policyDelivery({ event: "resolved" })],
  });
  assert.deepEqual(fates(decideAt(view)), { delivery: "admit" });
});

// --- quiet hours ---

const NIGHT = alertRow("a", { quietFrom: "22:00", quietUntil: "07:00", quietTimeZone: "Europe/Berlin" });

Deno.test("important and low wait quiet hours out, critical does not", () => {
  const fate = (severity: "critical" | "important" | "low", now: number) =>
    fates(decideAt(
      policyView({
        routes: [NIGHT],
        incidents: [policyIncident({ severity })],
        deliveries: [policyDelivery()],
      }),
      now,
    )).delivery;
  const hold = "hold: Quiet hours until 2026-11-21 07:00 Europe/Berlin";
  assert.equal(fate("important", at("05:59")), hold);
  assert.equal(fate("low", at("05:59")), hold);
  assert.equal(fate("critical", at("05:59")), "admit");
  assert.equal(fate("important", at("06:00")), "admit");
});

Deno.test("what is held already is not written again", () => {
  const heldReason = "Quiet hours until 2026-11-21 07:00 Europe/Berlin";
  const view = policyView({
    routes: [NIGHT],
    incidents: [policyIncident()],
    deliveries: [policyDelivery({ heldReason })],
  });
  assert.deepEqual(decideAt(view, at("03:00")).settle, []);
});

Deno.test("low that ends within quiet hours is dropped with the reason", () => {
  const heldReason = "Quiet hours until 2026-11-21 07:00 Europe/Berlin";
  const low = policyIncident({ severity: "low", openedAt: at("01:00"), resolvedAt: at("02:00") });
  const view = policyView({
    routes: [NIGHT],
    incidents: [low],
    deliveries: [policyDelivery({ heldReason })],
  });
  assert.equal(
    fates(decideAt(view, at("03:00"))).delivery,
    "cancel: It ended during quiet hours and was of low severity",
  );
  const atOnce = { ...low, openedAt: at("02:00") };
  assert.match(
    fates(decideAt({ ...view, incidents: [atOnce] }, at("03:00"))).delivery ?? "",
    /^cancel: It ended meanwhile\. Quiet hours/,
  );
});

Deno.test("of one message about many, the critical ones pass quiet hours and the others wait", () => {
  const incidents = [
    policyIncident({ id: "grave", severity: "critical" }),
    policyIncident({ id: "other" }),
    policyIncident({ id: "third" }),
  ];
  const decision = decideAt(
    policyView({
      routes: [NIGHT],
      incidents,
      deliveries: [policyDelivery({ incidents: ["grave", "other", "third"] })],
    }),
    at("03:00"),
  );
  assert.deepEqual(fates(decision), { delivery: "admit" });
  assert.deepEqual(decision.create.map(({ incidents, admitted }) => [incidents, admitted]), [[
    ["other", "third"],
    false,
  ]]);
  assert.match(decision.create[0]?.heldReason ?? "", /^Quiet hours until/);
});

Deno.test("a reminder that falls into quiet hours is owed once and waits", () => {
  const incident = policyIncident({ told: [told("a", at("20:00") - 24 * HOUR)] });
  const [reminder] = decideAt(policyView({ routes: [NIGHT], incidents: [incident] }), at("02:00")).create;
  assert.deepEqual([reminder?.admitted, reminder?.heldReason?.slice(0, 11)], [false, "Quiet hours"]);
});

// --- silences ---

Deno.test("a silenced incident's opening waits, and is told when the silence ends and it still holds", () => {
  const view = policyView({
    incidents: [policyIncident()],
    deliveries: [policyDelivery()],
    silences: [silence()],
  });
  assert.deepEqual(fates(decideAt(view)), {
    delivery: "hold: Silenced by dana until 2026-11-21 13:00 UTC: migration",
  });
  assert.deepEqual(fates(decideAt(view, NOON + HOUR)), { delivery: "admit" });
});

Deno.test("critical is silenced too, and owes neither reminders nor escalations meanwhile", () => {
  const old = policyIncident({ severity: "critical", told: [told("a", NOON - 9 * HOUR)] });
  const rows = [alertRow("a"), alertRow("b", { escalationMinutes: 5 })];
  assert.deepEqual(
    decideAt(policyView({ routes: rows, incidents: [old], silences: [silence()] })).create,
    [],
  );
  assert.deepEqual(created(decideAt(policyView({ routes: rows, incidents: [old] }))), [
    "a reminder incident",
    "b opened incident",
  ]);
});

Deno.test("an incident that ends within its silence is told of neither way", () => {
  const decision = decideAt(policyView({
    incidents: [ENDED],
    deliveries: [policyDelivery(), policyDelivery({ id: "end", event: "resolved" })],
    silences: [silence()],
  }));
  assert.deepEqual(Object.values(fates(decision)).map((fate) => fate.slice(0, 6)), ["cancel", "cancel"]);
});

Deno.test("the end of an incident that was told before its silence waits for the silence's end", () => {
  const view = policyView({
    incidents: [{ ...TOLD, resolvedAt: NOON }],
    deliveries: [policyDelivery({ event: "resolved" })],
    silences: [silence()],
  });
  assert.match(fates(decideAt(view)).delivery ?? "", /^hold: Silenced/);
  assert.deepEqual(fates(decideAt(view, NOON + HOUR)), { delivery: "admit" });
});

Deno.test("of one message about many, only the silenced are held", () => {
  const incidents = [
    policyIncident({ id: "a1", jobName: "sync_a" }),
    policyIncident({ id: "b1", jobName: "purge" }),
  ];
  const decision = decideAt(policyView({
    incidents,
    deliveries: [policyDelivery({ incidents: ["a1", "b1"] })],
    silences: [silence({ jobPattern: "sync_*" })],
  }));
  assert.deepEqual(fates(decision), { delivery: "admit" });
  assert.deepEqual(decision.create.map(({ incidents }) => incidents), [["a1"]]);
});

// --- flapping ---

Deno.test("four changes within the window open one flapping incident, and the single changes wait", () => {
  const decision = decideAt(policyView({
    incidents: [policyIncident()],
    deliveries: [policyDelivery()],
    restless: [restless({ codes: ["failed", "missed"], severities: ["important", "critical"] })],
  }));
  assert.equal(decision.open.length, 1);
  const [opening] = decision.open;
  assert.equal(opening?.code, "flapping");
  assert.equal(opening?.severity, "critical");
  assert.equal(opening?.summary, "it changed 4 times within 60 minutes between failed, missed and well");
  assert.deepEqual(created(decision), [`a opened ${opening?.id}`]);
  assert.deepEqual(fates(decision), { delivery: "hold: Told as flapping until it is calm" });
});

Deno.test("three changes are no flapping, another job's changes neither, and 0 turns it off", () => {
  const opened = (over: Parameters<typeof policyView>[0]) =>
    decideAt(policyView({ incidents: [policyIncident()], deliveries: [policyDelivery()], ...over }));
  const three = opened({ restless: [restless({ changes: 3 })] });
  assert.deepEqual([three.open, fates(three)], [[], { delivery: "admit" }]);
  assert.deepEqual(fates(opened({ restless: [restless({ subjectId: "other" })] })), { delivery: "admit" });
  assert.deepEqual(opened({ restless: [restless()], flappingChanges: 0 }).open, []);
});

Deno.test("flapping goes on while anything changes, and ends when nothing has for the window", () => {
  const flapping = policyIncident({
    id: "flapping",
    code: "flapping",
    subjectId: "job of incident",
    told: [told("a", NOON - HOUR)],
  });
  const view = policyView({
    incidents: [policyIncident(), flapping],
    deliveries: [policyDelivery({ heldReason: "Told as flapping until it is calm" })],
  });
  const stirring = decideAt({ ...view, restless: [restless({ changes: 1 })] });
  assert.deepEqual([stirring.resolve, stirring.open, stirring.settle], [[], [], []]);
  const calm = decideAt(view);
  assert.deepEqual(calm.resolve, ["flapping"]);
  assert.deepEqual(fates(calm), { delivery: "admit" }, "it still holds, so now it is told");
  assert.deepEqual(created(calm), ["a resolved flapping"]);
});

Deno.test("what recovered while it flapped is told together with the calm", () => {
  const subjectId = "job of incident";
  const flapping = policyIncident({ id: "flapping", code: "flapping", subjectId, told: [told("a", 1)] });
  const recovered = { ...TOLD, resolvedAt: NOON - HOUR };
  const decision = decideAt(policyView({
    incidents: [recovered, flapping],
    deliveries: [policyDelivery({ event: "resolved" })],
  }));
  assert.deepEqual(created(decision), ["a resolved incident,flapping"]);
  assert.match(fates(decision).delivery ?? "", /^cancel: Told together with others in delivery/);
});

// --- escalation ---

Deno.test("critical that nobody acknowledges in time goes to the next row, once", () => {
  const rows = [
    alertRow("a"),
    alertRow("b", { escalationMinutes: 15, onlyEscalations: true }),
    alertRow("c", { escalationMinutes: 30 }),
  ];
  const escalate = (minutes: number, over: Parameters<typeof policyIncident>[0] = {}) =>
    decideAt(policyView({
      routes: rows,
      incidents: [
        policyIncident({
          severity: "critical",
          openedAt: NOON - HOUR,
          told: [told("a", NOON - minutes * MINUTE)],
          ...over,
        }),
      ],
    }));
  assert.deepEqual(created(escalate(14)), []);
  assert.deepEqual(created(escalate(15)), ["b opened incident"]);
  assert.equal(escalate(15).create[0]?.note, "Nobody has acknowledged it for 15 min");
  assert.deepEqual(created(escalate(30, { told: [told("a", NOON - 30 * MINUTE), told("b", NOON)] })), [
    "c opened incident",
  ]);
  assert.deepEqual(created(escalate(60, { acknowledgedBy: "dana" })), []);
  assert.deepEqual(created(escalate(60, { severity: "important" })), []);
});

// --- dead channels ---

const DEAD = { reason: "Discord answered 404: Unknown Webhook", since: NOON, lastFailureAt: NOON };

Deno.test("a dead channel is told once, through another row", () => {
  const routes = [alertRow("a", { name: "team", dead: DEAD }), alertRow("b", { criticality: "low" })];
  const decision = decideAt(policyView({ routes }));
  assert.equal(decision.open[0]?.code, "channel_dead");
  assert.equal(
    decision.open[0]?.summary,
    'alerts no longer get through "team" (discord): Discord answered 404: Unknown Webhook',
  );
  assert.deepEqual(created(decision), ["b opened new 1"], "any row, where none takes it");
  const known = policyIncident({
    id: "dead",
    subjectKind: "channel",
    subjectId: "a",
    code: "channel_dead",
    told: [told("b", NOON)],
  });
  assert.deepEqual(decideAt(policyView({ routes, incidents: [known] })).open, []);
  const well = decideAt(policyView({ routes: [alertRow("a"), alertRow("b")], incidents: [known] }));
  assert.deepEqual([well.resolve, created(well)], [["dead"], ["b resolved dead"]]);
});

Deno.test("what a vendor refused for good goes to the next row by priority that fits", () => {
  const routes = [
    alertRow("a", { dead: DEAD }),
    alertRow("b", { priority: 50 }),
    alertRow("c", { priority: 10 }),
  ];
  const decision = decideAt(policyView({
    routes,
    incidents: [
      policyIncident({
        told: [told("a", 0, { heard: false, firstAt: null, lastAt: null, live: [], failed: 1 })],
      }),
    ],
    deliveries: [policyDelivery({ failed: true, lastError: DEAD.reason })],
  }));
  const copy = decision.create.find(({ incidents }) => incidents[0] === "incident");
  assert.deepEqual([copy?.alertConfigId, copy?.event, copy?.needs], ["c", "opened", ["delivery"]]);
  assert.equal(copy?.note, `Alerts no longer get through discord: ${DEAD.reason}`);
  assert.deepEqual(decision.follow, [{ id: "delivery", into: copy?.id }]);
});

Deno.test("nothing follows from a failure that another row makes up for, or that is old news", () => {
  const routes = [alertRow("a", { dead: DEAD }), alertRow("b")];
  const failed = policyDelivery({ failed: true, lastError: DEAD.reason });
  const dead = policyIncident({ id: "dead", subjectKind: "channel", subjectId: "a", code: "channel_dead" });
  for (const incident of [policyIncident({ told: [told("b", NOON)] }), ENDED]) {
    const decision = decideAt(policyView({ routes, incidents: [incident, dead], deliveries: [failed] }));
    assert.deepEqual([decision.follow, decision.create], [[{ id: "delivery", into: null }], []]);
  }
});

Deno.test("a failure without another row waits, and goes to its own row once that works again", () => {
  const failed = policyDelivery({ failed: true, lastError: DEAD.reason });
  const incidents = [
    policyIncident({
      told: [told("a", 0, { heard: false, firstAt: null, lastAt: null, live: [], failed: 1 })],
    }),
  ];
  const alone = decideAt(
    policyView({ routes: [alertRow("a", { dead: DEAD })], incidents, deliveries: [failed] }),
  );
  assert.deepEqual([alone.follow, created(alone)], [[], []]);
  const edited = decideAt(policyView({ incidents, deliveries: [failed] }));
  assert.deepEqual(created(edited), ["a opened incident"]);
});

Deno.test("new alerts of a dead row go to another at once; without another they are tried; after an hour it is tried again", () => {
  const dead = policyIncident({ id: "dead", subjectKind: "channel", subjectId: "a", code: "channel_dead" });
  const decide = (routes: ReturnType<typeof alertRow>[], now = NOON) =>
    decideAt(
      policyView({ routes, incidents: [policyIncident(), dead], deliveries: [policyDelivery()] }),
      now,
    );
  const row = alertRow("a", { dead: DEAD });
  const moved = decide([row, alertRow("b")]);
  assert.deepEqual(created(moved), ["b opened incident"]);
  assert.match(fates(moved).delivery ?? "", /^cancel: Its channel is dead, told through discord instead/);
  assert.equal(moved.settle[0]?.into, moved.create[0]?.id, "never without what makes up for it");
  assert.deepEqual(fates(decide([row])), { delivery: "admit" });
  assert.deepEqual(fates(decide([row, alertRow("b")], NOON + HOUR)), { delivery: "admit" });
});

Deno.test("a row that gets nothing through in five attempts is dead, although its vendor never says so", () => {
  const stuck = policyDelivery({ admitted: true, attempts: 5, lastError: "Discord could not be reached" });
  const routes = [alertRow("a"), alertRow("b")];
  const decision = decideAt(policyView({ routes, incidents: [policyIncident()], deliveries: [stuck] }));
  assert.deepEqual(decision.dead, [{
    alertConfigId: "a",
    reason: "nothing got through in 5 attempts: Discord could not be reached",
  }]);
  assert.ok(created(decision).includes("b opened incident"));
  const alive = [alertRow("a", { lastSuccessAt: NOON + 1 }), alertRow("b")];
  assert.deepEqual(
    decideAt(policyView({ routes: alive, incidents: [policyIncident()], deliveries: [stuck] })).dead,
    [],
  );
});

Deno.test("what the vendor may have stays owed where it is, and is told elsewhere too once the row is dead", () => {
  const unsure = policyDelivery({ admitted: true, attempts: 6, uncertain: true, lastError: "no answer" });
  const decision = decideAt(policyView({
    routes: [alertRow("a"), alertRow("b")],
    incidents: [policyIncident()],
    deliveries: [unsure],
  }));
  assert.ok(created(decision).includes("b opened incident"));
  assert.deepEqual(decision.settle, []);
});

Deno.test("a message that its vendor refused for what it says goes to another row, and never again to its own", () => {
  const incidents = [
    policyIncident({
      told: [told("a", 0, { heard: false, firstAt: null, lastAt: null, live: [], failed: 1 })],
    }),
  ];
  const failed = policyDelivery({ failed: true, refused: "message", lastError: "Discord answered 400" });
  const decide = (routes: ReturnType<typeof alertRow>[]) =>
    decideAt(policyView({ routes, incidents, deliveries: [failed] }));
  const both = decide([alertRow("a"), alertRow("b")]);
  assert.deepEqual([created(both), both.open], [["b opened incident"], []], "the row is not dead");
  assert.equal(both.create[0]?.note, "discord refused this message: Discord answered 400");
  assert.deepEqual(created(decide([alertRow("a")])), []);
});

// --- rows with one target ---

const TWINS = [alertRow("a", { name: "one", targetKey: "x" }), alertRow("b", { targetKey: "x" })];

Deno.test("of two deliveries of the same news for one target, one is sent", () => {
  const deliveries = [policyDelivery({ id: "first" }), policyDelivery({ id: "second", row: "b" })];
  const twins = decideAt(policyView({ routes: TWINS, incidents: [policyIncident()], deliveries }));
  assert.deepEqual(fates(twins), {
    first: "admit",
    second: 'cancel: Row "one" (discord) of alert_config tells the same to the same target',
  });
  const others = decideAt(
    policyView({ routes: [alertRow("a"), alertRow("b")], incidents: [policyIncident()], deliveries }),
  );
  assert.deepEqual(fates(others), { first: "admit", second: "admit" });
});

Deno.test("the row that may send now tells it, and one that has begun to keeps it", () => {
  const quiet = [
    { ...TWINS[0] as typeof TWINS[0], quietFrom: "11:00", quietUntil: "13:00" },
    TWINS[1],
  ] as typeof TWINS;
  const deliveries = [policyDelivery({ id: "first" }), policyDelivery({ id: "second", row: "b" })];
  const decide = (changed: typeof deliveries) =>
    fates(decideAt(policyView({ routes: quiet, incidents: [policyIncident()], deliveries: changed })));
  assert.deepEqual(Object.entries(decide(deliveries)).map(([id, fate]) => [id, fate.slice(0, 6)]), [
    ["second", "admit"],
    ["first", "cancel"],
  ]);
  const begun = [policyDelivery({ id: "first", admitted: true }), policyDelivery({ id: "second", row: "b" })];
  assert.deepEqual(Object.keys(decide(begun)), ["second"]);
  assert.match(decide(begun).second ?? "", /^cancel/);
});

Deno.test("what a target heard through one row is not told, reminded or escalated through another", () => {
  const opened = policyIncident({ told: [told("a", NOON - HOUR)] });
  const waiting = policyView({
    routes: TWINS,
    incidents: [opened],
    deliveries: [policyDelivery({ row: "b" })],
  });
  assert.match(fates(decideAt(waiting)).delivery ?? "", /^cancel: Row "one"/);
  const again = (over: Partial<ReturnType<typeof alertRow>>, at: number) =>
    created(decideAt(
      policyView({
        routes: [TWINS[0] as typeof TWINS[0], alertRow("b", { targetKey: "x", ...over })] as typeof TWINS,
        incidents: [policyIncident({ severity: "critical", told: [told("a", at)] })],
      }),
    ));
  assert.deepEqual(again({ repeatMinutes: 60 }, NOON - HOUR), [], "not routed, and never told itself");
  assert.deepEqual(again({ escalationMinutes: 5 }, NOON - HOUR), []);
});

Deno.test("each target hears of an end that was told through another of its rows", () => {
  const over = policyIncident({ resolvedAt: NOON - MINUTE, told: [told("a", NOON - HOUR)] });
  const end = policyDelivery({ row: "b", event: "resolved" });
  assert.deepEqual(fates(decideAt(policyView({ routes: TWINS, incidents: [over], deliveries: [end] }))), {
    delivery: "admit",
  });
});

Deno.test("a dead target's alerts go to another target, not to another row of the same", () => {
  const dead = policyIncident({ id: "dead", subjectKind: "channel", subjectId: "a", code: "channel_dead" });
  const routes = [
    alertRow("a", { dead: DEAD, targetKey: "x" }),
    alertRow("b", { targetKey: "x", priority: 1 }),
    alertRow("c"),
  ];
  const moved = decideAt(
    policyView({ routes, incidents: [policyIncident(), dead], deliveries: [policyDelivery()] }),
  );
  assert.deepEqual(created(moved), ["c opened incident"]);
  const word = decideAt(policyView({ routes }));
  assert.deepEqual(created(word), ["c opened new 1"], "also the word about it");
});

// --- severity ---

/** Told to `a` when it was important, critical since a minute. */
const RAISED = policyIncident({
  severity: "critical",
  raised: { at: NOON - MINUTE, from: "important" },
  told: [told("a", NOON - 10 * MINUTE)],
});

Deno.test("a severity that is raised is told at once, to the rows of the new one", () => {
  const routes = [
    alertRow("a", { criticality: "important" }),
    alertRow("phone", { criticality: "critical" }),
  ];
  const decision = decideAt(policyView({ routes, incidents: [RAISED] }));
  assert.deepEqual(created(decision), ["phone opened incident"]);
  assert.equal(decision.create[0]?.note, "Its severity was raised from important to critical");
  assert.deepEqual(
    created(decideAt(policyView({ incidents: [RAISED] }))),
    ["a opened incident"],
    "told before",
  );
  const acknowledged = { ...RAISED, acknowledgedBy: "dana" };
  assert.deepEqual(created(decideAt(policyView({ routes, incidents: [acknowledged] }))), [
    "phone opened incident",
  ]);
});

Deno.test("a raised severity is told once, and a lowered one not at all", () => {
  const since = { ...RAISED, told: [told("a", NOON - 10 * MINUTE, { newsAt: NOON - MINUTE })] };
  assert.deepEqual(created(decideAt(policyView({ incidents: [since] }))), []);
  const waits = decideAt(policyView({ incidents: [RAISED], deliveries: [policyDelivery()] }));
  assert.deepEqual([created(waits), fates(waits)], [[], { delivery: "admit" }], "the first word will do");
  const lowered = { ...since, severity: "low" as const };
  assert.deepEqual(created(decideAt(policyView({ incidents: [lowered] }))), []);
});

Deno.test("a silenced incident's raised severity waits for the silence's end", () => {
  const decision = decideAt(policyView({ incidents: [RAISED], silences: [silence()] }));
  assert.match(decision.create[0]?.heldReason ?? "", /^Silenced by dana/);
});

Deno.test("a raised severity whose row is dead goes to another, although that was told the lower one", () => {
  const routes = [
    alertRow("a", { criticality: "important" }),
    alertRow("phone", { criticality: "critical", dead: DEAD }),
  ];
  const dead = policyIncident({
    id: "dead",
    subjectKind: "channel",
    subjectId: "phone",
    code: "channel_dead",
  });
  const decide = (incident: typeof RAISED) =>
    created(decideAt(policyView({ routes, incidents: [incident, { ...dead, told: [told("a", NOON)] }] })));
  assert.deepEqual(decide(RAISED), ["a opened incident"]);
  assert.deepEqual(decide({ ...RAISED, told: [told("a", NOON - HOUR, { newsAt: NOON })] }), [], "once");
});

Deno.test("the time to acknowledge counts from when it became critical", () => {
  const routes = [alertRow("a"), alertRow("b", { escalationMinutes: 15 })];
  const escalate = (now: number) =>
    created(decideAt(
      policyView({ routes, incidents: [{ ...RAISED, told: [told("a", NOON - HOUR, { newsAt: NOON })] }] }),
      now,
    ));
  assert.deepEqual(escalate(NOON + 13 * MINUTE), []);
  assert.deepEqual(escalate(NOON + 14 * MINUTE), ["b opened incident"]);
});

// --- faults ---

Deno.test("what people wrote wrongly is a sentence each", () => {
  const { faults } = decideAt(policyView({
    routes: [alertRow("a", { quietFrom: "22:00", quietUntil: "06:00", quietTimeZone: "Mars/Olympus" })],
    silences: [silence({ schedule: "nonsense * * * *", durationMinutes: 5 })],
    strayRequests: ["team-x"],
    strayProjects: ["smothed"],
  }));
  assert.deepEqual(faults, [
    'Silence silence: cannot read schedule "nonsense * * * *" in "UTC"',
    'job_inventory.alert_channel "team-x" names no enabled row of alert_config',
    'alert_config.project_name "smothed" names no project',
    'Row discord of alert_config: quiet_time_zone "Mars/Olympus" is not known here, so it counts as UTC',
  ]);
});

// --- size ---

Deno.test("5,000 open incidents with all their reminders due become three messages", () => {
  const incidents = Array.from(
    { length: 5_000 },
    (_, index) =>
      policyIncident({ id: `i${index}`, jobName: `job_${index}`, told: [told("a", NOON - 7 * HOUR)] }),
  );
  const silences = [silence({ projectName: "other" }), silence({ jobPattern: "job_4?" })];
  const { create } = decideAt(policyView({ incidents, silences }));
  assert.equal(create.length, 3);
  assert.equal(create.reduce((sum, { incidents }) => sum + incidents.length, 0), 4_990);
});
