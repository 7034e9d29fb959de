/** `deno task monitor`: the command line. `--help` tells the commands. */
import { runMonitor } from "./monitor/program.ts";
import { openTerminal } from "./monitor/terminal.ts";

if (import.meta.main) {
  // The local stack is on this machine; a proxy for the outside has no part in it.
  const noProxy = Deno.env.get("NO_PROXY") ?? Deno.env.get("no_proxy") ?? "";
  Deno.env.set("NO_PROXY", [noProxy, "127.0.0.1", "localhost"].filter((host) => host !== "").join(","));
  Deno.exitCode = await runMonitor(Deno.args, {
    stdout: openTerminal("stdout"),
    stderr: openTerminal("stderr"),
    // loaded when needed: help and schedules need none of it
    connect: async (options) => (await import("./monitoring_api.ts")).MonitoringAPI.connect(options),
    stdin: () => Deno.stdin.readable,
    now: () => Date.now(),
  });
}
