/** Which rows of `alert_config` an alert goes to, at first and at a second look. */
import assert from "node:assert/strict";
import type { Severity } from "../../supabase/functions/_shared/domain/job.ts";
import { owedDeliveries } from "../../supabase/functions/_shared/rules/owed_deliveries.ts";
import {
  routeAlert,
  type RoutedAlert,
  routeNews,
  worstSeverity,
} from "../../supabase/functions/_shared/rules/routing.ts";
import { fallbackRow, reroute } from "../../supabase/functions/_shared/rules/reroute.ts";
import type { AlertRoute, UnroutableDelivery } from "../../supabase/functions/_shared/domain/delivery.ts";
import { alertRow as row, incident } from "../support/alerts.ts";

function route(severity: Severity, rows: readonly AlertRoute[], over: Partial<RoutedAlert> = {}) {
  return routeAlert({ severity, projectName: "smoothed", alertChannel: null, ...over }, rows);
}

/** As the seeds route: critical to Telegram, the rest to Discord. */
const SEEDS = [
  row("telegram", { channel: "telegram", criticality: "critical" }),
  row("discord", { criticality: "important" }),
  row("discord low", { criticality: "low" }),
];

function unroutable(over: Partial<UnroutableDelivery> = {}): UnroutableDelivery {
  return {
    id: "delivery",
    channel: null,
    event: "opened",
    lastError: "nothing took it",
    alertChannel: null,
    incidents: [incident()],
    toldBefore: false,
    covered: [],
    ...over,
  };
}

const ENDED = incident({ resolvedAt: "2026-11-21T13:00:00Z", resolution: "recovered" });

Deno.test("routeAlert() gives critical to Telegram, important and low to Discord, as the seeds configure it", () => {
  const ids = (severity: "critical" | "important" | "low") => route(severity, SEEDS).map(({ id }) => id);
  assert.deepEqual(ids("critical"), ["telegram"]);
  assert.deepEqual(ids("important"), ["discord"]);
  assert.deepEqual(ids("low"), ["discord low"]);
});

Deno.test("routeAlert() gives every row that takes all, and none that is disabled", () => {
  const rows = [row("a"), row("b", { enabled: false }), row("c", { criticality: "critical" })];
  assert.deepEqual(route("critical", rows).map(({ id }) => id), ["a", "c"]);
});

Deno.test("routeAlert() never sends info", () => {
  assert.deepEqual(route("info", [row("a")]), []);
});

Deno.test("worstSeverity() is the worst of them", () => {
  assert.equal(worstSeverity(["low", "critical", "important"]), "critical");
  assert.equal(worstSeverity([]), "info");
});

Deno.test("reroute() gives an open incident's delivery to the rows that fit now", () => {
  assert.deepEqual(reroute(unroutable(), SEEDS), { kind: "route", alertConfigIds: ["telegram"] });
});

Deno.test("reroute() heeds the row that the job asks for", () => {
  const rows = [...SEEDS, row("team", { name: "team-a", criticality: "low" })];
  assert.deepEqual(reroute(unroutable({ alertChannel: "team-a" }), rows), {
    kind: "route",
    alertConfigIds: ["team"],
  });
});

Deno.test("reroute() keeps what still has no row, with the reason", () => {
  assert.deepEqual(reroute(unroutable(), []), {
    kind: "keep",
    reason: 'No enabled row of alert_config takes severity "critical" of project "smoothed"',
  });
});

Deno.test("reroute() cancels news of an incident that ended unheard", () => {
  assert.equal(reroute(unroutable({ incidents: [ENDED] }), SEEDS).kind, "cancel");
  assert.equal(reroute(unroutable({ event: "resolved", incidents: [ENDED] }), SEEDS).kind, "cancel");
});

Deno.test("reroute() still owes the recovery to whom the beginning was told", () => {
  const recovery = unroutable({ event: "resolved", incidents: [ENDED], toldBefore: true });
  assert.equal(reroute(recovery, SEEDS).kind, "route");
});

Deno.test("reroute() passes over rows that tell the same, and cancels when all of them do", () => {
  const twice = [...SEEDS, row("second", { criticality: "critical" })];
  const told = unroutable({ covered: [{ alertConfigId: "telegram", state: "sent" }] });
  assert.deepEqual(reroute(told, twice), { kind: "route", alertConfigIds: ["second"] });
  assert.equal(reroute(told, SEEDS).kind, "cancel");
});

Deno.test("reroute() keeps what every fitting row has failed to deliver, until one of them is set right", () => {
  const failed = unroutable({ covered: [{ alertConfigId: "telegram", state: "failed" }] });
  const dead = { reason: "gone", since: 0, lastFailureAt: 0 };
  assert.equal(reroute(failed, SEEDS.map((one) => ({ ...one, dead }))).kind, "keep");
  assert.deepEqual(reroute(failed, SEEDS), { kind: "route", alertConfigIds: ["telegram"] });
});

Deno.test("reroute() cancels what no row that takes it wants to hear of", () => {
  const rows = [row("a", { events: ["resolved"] })];
  assert.deepEqual(reroute(unroutable(), rows), {
    kind: "cancel",
    reason: 'No row of alert_config that takes this alert hears of "opened"',
  });
});

Deno.test("routeAlert() heeds project, least severity and what a job asks for", () => {
  const rows = [
    row("mine", { projectName: "smoothed" }),
    row("other", { projectName: "scraping" }),
    row("grave", { minSeverity: "important" }),
    row("asked", { name: "team-a", projectName: "scraping", criticality: "low" }),
  ];
  const ids = (severity: Severity, over: Partial<RoutedAlert> = {}) =>
    route(severity, rows, over).map(({ id }) => id);
  assert.deepEqual(ids("low"), ["mine"]);
  assert.deepEqual(ids("important"), ["mine", "grave"]);
  assert.deepEqual(ids("critical", { projectName: "blingsting" }), ["grave"]);
  assert.deepEqual(ids("critical", { alertChannel: "team-a" }), ["asked"]);
  assert.deepEqual(ids("important", { alertChannel: "nobody" }), ["mine", "grave"]);
});

/** What an empty `alert_config` is filled with where Telegram and Discord exist. */
const DEFAULTS = [
  row("telegram", { name: "telegram", channel: "telegram", criticality: "critical" }),
  row("discord", { name: "discord", criticality: "important", targetKey: "webhook" }),
  row("discord-low", { name: "discord-low", criticality: "low", targetKey: "webhook" }),
];

Deno.test("a job that asks for discord is told once there, although two default rows go there", () => {
  for (const severity of ["critical", "important", "low"] as const) {
    const owed = owedDeliveries(
      { severity, projectName: "smoothed", alertChannel: "discord", event: "opened" },
      DEFAULTS,
    );
    assert.deepEqual(owed, [{ state: "due", channel: "discord", alertConfigId: "discord" }], severity);
  }
});

Deno.test("a job that asks for a channel gets those of its rows that take the alert, and all where none does", () => {
  const rows = [
    row("grave", { criticality: "critical" }),
    row("slight", { criticality: "low" }),
    row("others", { criticality: "low", projectName: "scraping" }),
    row("phone", { channel: "telegram" }),
  ];
  const ids = (severity: Severity, projectName = "smoothed") =>
    route(severity, rows, { alertChannel: "discord", projectName }).map(({ id }) => id);
  assert.deepEqual(ids("critical"), ["grave"]);
  assert.deepEqual(ids("low"), ["slight"]);
  assert.deepEqual(ids("low", "scraping"), ["slight", "others"]);
  assert.deepEqual(ids("important"), ["grave", "slight"], "of its project's rows");
});

Deno.test("routeNews() gives one row a target, and only of those that hear of the event", () => {
  const rows = [
    row("ends only", { targetKey: "x", events: ["resolved"] }),
    row("first", { targetKey: "x" }),
    row("second", { targetKey: "x" }),
    row("elsewhere"),
  ];
  const ids = (event: "opened" | "resolved") =>
    routeNews({ severity: "low", projectName: "smoothed", alertChannel: null, event }, rows)
      .map(({ id }) => id);
  assert.deepEqual(ids("opened"), ["first", "elsewhere"]);
  assert.deepEqual(ids("resolved"), ["ends only", "elsewhere"]);
});

Deno.test("reroute() takes a target as told whichever of its rows told it", () => {
  const rows = [row("a", { targetKey: "x" }), row("b", { targetKey: "x" }), row("c")];
  const told = unroutable({ covered: [{ alertConfigId: "b", state: "sent" }] });
  assert.deepEqual(reroute(told, rows), { kind: "route", alertConfigIds: ["c"] });
});

Deno.test("routeAlert() keeps critical alerts from rows that are there for escalations, unless there are no others", () => {
  const [first, second] = [
    row("second line", { escalationMinutes: 30 }),
    row("third line", { escalationMinutes: 60, onlyEscalations: true }),
  ];
  assert.deepEqual(route("critical", [row("a"), first, second]).map(({ id }) => id), ["a"]);
  assert.deepEqual(route("critical", [second, first]).map(({ id }) => id), ["second line"]);
  assert.deepEqual(route("important", [first, second]).map(({ id }) => id), ["second line"]);
});

Deno.test("owedDeliveries() owes nothing where rows take the alert but not the event, and keeps it where none takes it", () => {
  const alert = {
    severity: "important",
    projectName: "smoothed",
    alertChannel: null,
    event: "resolved",
  } as const;
  assert.deepEqual(owedDeliveries(alert, [row("a", { events: ["opened"] })]), []);
  assert.deepEqual(owedDeliveries(alert, [row("a"), row("b", { events: ["opened"] })]), [
    { state: "due", channel: "discord", alertConfigId: "a" },
  ]);
  assert.deepEqual(owedDeliveries(alert, [row("a", { criticality: "low" })]), [{
    state: "unroutable",
    lastError: 'No enabled row of alert_config takes severity "important" of project "smoothed"',
  }]);
});

Deno.test("fallbackRow() takes the first by priority that fits, and else any of the project", () => {
  const rows = [
    row("late", { priority: 200 }),
    row("soon", { priority: 10 }),
    row("sooner, for others", { priority: 1, projectName: "scraping" }),
    row("sooner, critical only", { priority: 2, criticality: "critical" }),
    row("dead", { priority: 0 }),
  ];
  const alert = {
    severity: "important",
    projectName: "smoothed",
    alertChannel: null,
    event: "opened",
  } as const;
  const usable = ({ id }: AlertRoute) => id !== "dead";
  assert.equal(fallbackRow(alert, rows, usable)?.id, "soon");
  const misfits = rows.filter(({ id }) => !["late", "soon"].includes(id));
  assert.equal(fallbackRow(alert, misfits, usable)?.id, "sooner, critical only");
  assert.equal(fallbackRow(alert, rows.filter(({ id }) => id === "dead"), usable), null);
});

Deno.test("a row without events is there for reports: no alert goes to it, whatever it takes or is called", () => {
  const rows = [
    row("reports", { name: "team", events: [] }),
    row("alerts", { criticality: "low" }),
  ];
  const alert = { severity: "low", projectName: "smoothed", alertChannel: null } as const;
  assert.deepEqual(routeAlert(alert, rows).map(({ id }) => id), ["alerts"]);
  assert.deepEqual(routeAlert({ ...alert, alertChannel: "team" }, rows).map(({ id }) => id), ["alerts"]);
  assert.deepEqual(routeAlert({ ...alert, severity: "critical" }, rows), []);
});
