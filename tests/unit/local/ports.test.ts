/** The ports of the local stack. */
import assert from "node:assert/strict";
import { choosePorts, explainPortConflicts, findPortConflicts } from "../../../scripts/local/ports.ts";

Deno.test("choosePorts() starts at the ports of Supabase's own local stack", () => {
  assert.deepEqual(choosePorts(undefined, {}), {
    gateway: 54321,
    hub: 54322,
    smoothed: 54331,
    blingsting: 54332,
    scraping: 54333,
    sink: 54340,
  });
});

Deno.test("choosePorts() moves all ports with the base, and single ones win", () => {
  const ports = choosePorts("60000", { hub: "5432" });
  assert.deepEqual([ports.gateway, ports.hub, ports.sink], [60000, 5432, 60019]);
});

Deno.test("choosePorts() names every port that is none, and one used twice", () => {
  assert.throws(() => choosePorts("80x", { hub: "0" }), /"80x" as port base[\s\S]*"0" as port of hub/);
  assert.throws(() => choosePorts("65530", {}), /"65540" as port of smoothed/);
  assert.throws(() => choosePorts(undefined, { sink: "54321" }), /54321 for both gateway and sink/);
});

Deno.test("findPortConflicts() names who listens on a taken port", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const free = choosePorts("1025", {});
  const conflicts = (await findPortConflicts({ ...free, sink: port })).filter(({ role }) => role === "sink");
  assert.equal(conflicts[0]?.port, port);
  assert.match(conflicts[0]?.holder ?? "", new RegExp(`process ${Deno.pid} \\(`));
  assert.match(explainPortConflicts(conflicts), new RegExp(`port ${port} \\(sink\\)[\\s\\S]*--port-base`));
});

Deno.test("explainPortConflicts() blames nobody for a port that this user may not have, and names a base not tried yet", () => {
  const forbidden = explainPortConflicts([
    { role: "gateway", port: 80, reason: "forbidden", holder: undefined },
  ]);
  assert.match(
    forbidden,
    /port 80 \(gateway\): this user may not listen there\nMove the stack: .*--port-base 55321\n/,
  );
  const moved = explainPortConflicts([{ role: "hub", port: 55322, reason: "taken", holder: undefined }]);
  assert.match(
    moved,
    /another program listens there\nStop what listens there, or move .*--port-base 56321\n/,
  );
});
