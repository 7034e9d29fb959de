/** Which rows of `alert_config` an alert goes to, at first and at a second look. */
import assert from "node:assert/strict";
import { routeAlert, worstSeverity } from "../../supabase/functions/_shared/rules/routing.ts";
import { reroute } from "../../supabase/functions/_shared/rules/reroute.ts";
import type { AlertRoute, UnroutableDelivery } from "../../supabase/functions/_shared/domain/delivery.ts";
import { incident } from "../support/alerts.ts";

function row(id: string, over: Partial<AlertRoute> = {}): AlertRoute {
  return { id, name: null, channel: "discord", criticality: "all", enabled: true, ...over };
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
  const ids = (severity: "critical" | "important" | "low") => routeAlert(severity, SEEDS).map(({ id }) => id);
  assert.deepEqual(ids("critical"), ["telegram"]);
  assert.deepEqual(ids("important"), ["discord"]);
  assert.deepEqual(ids("low"), ["discord low"]);
});

Deno.test("routeAlert() gives every row that takes all, and none that is disabled", () => {
  const rows = [row("a"), row("b", { enabled: false }), row("c", { criticality: "critical" })];
  assert.deepEqual(routeAlert("critical", rows).map(({ id }) => id), ["a", "c"]);
});

Deno.test("routeAlert() never sends info", () => {
  assert.deepEqual(routeAlert("info", [row("a")]), []);
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
    reason: 'No enabled row of alert_config takes severity "critical"',
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

Deno.test("reroute() keeps what every fitting row has failed to deliver", () => {
  const failed = unroutable({ covered: [{ alertConfigId: "telegram", state: "failed" }] });
  assert.equal(reroute(failed, SEEDS).kind, "keep");
});
