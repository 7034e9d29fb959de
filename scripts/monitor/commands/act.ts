/** `monitor ack`, `false-alarm`, `resolve`: what a person does about incidents. */
import type { Command } from "commander";
import { z } from "zod";
import { oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import type { ActedIncident } from "../../monitoring_api.ts";
import { type Context, EXIT, type Monitor, type Runner } from "../context.ts";
import { prefixFault } from "../find_by_prefix.ts";
import { MonitorError } from "../errors.ts";
import { examples } from "../help.ts";
import { ago } from "../words.ts";

const options = z.object({ by: z.string().optional(), note: z.string().optional() });
type Options = z.infer<typeof options>;

/** A command that does one thing about incidents. */
interface Act {
  name: string;
  description: string;
  doing: string;
  done: string;
  /** Why nothing was done about one. */
  otherwise(incident: ActedIncident, now: number): string;
  act(api: Monitor, ids: readonly string[], options: Options): Promise<ActedIncident[]>;
}

const ACTS: readonly Act[] = [
  {
    name: "ack",
    description: "Take incidents on: no more reminders, no escalation; their ends are told all the same",
    doing: "Acknowledging",
    done: "Acknowledged",
    otherwise: ({ resolved_at, acknowledged_at, acknowledged_by }, now) =>
      acknowledged_at !== null
        ? `Acknowledged before, by ${acknowledged_by}, ${ago(acknowledged_at, now)}`
        : overSince(resolved_at, now),
    act: (api, ids, options) => api.acknowledgeIncidents(ids, options),
  },
  {
    name: "false-alarm",
    description: "Say that nothing was wrong: acknowledges, and counts in the rate of false alarms",
    doing: "Marking",
    done: "A false alarm",
    otherwise: ({ false_alarm_by }) => `Called a false alarm before, by ${false_alarm_by}`,
    act: (api, ids, { by }) => api.markFalseAlarms(ids, { by }),
  },
  {
    name: "resolve",
    description: "Close incidents by hand, and tell whoever was told; what still holds opens again",
    doing: "Closing",
    done: "Closed",
    otherwise: ({ resolved_at }, now) => overSince(resolved_at, now),
    act: (api, ids, { by }) => api.resolveIncidents(ids, { by }),
  },
];

/** Adds the three of them. */
export function addActs(program: Command, runner: Runner): void {
  for (const act of ACTS) {
    const command = program.command(act.name)
      .description(act.description)
      .argument("<incident...>", "ids, or the first characters of them, as alerts and `incidents` show them")
      .option("--by <who>", "who (default: your user name)");
    if (act.name === "ack") command.option("--note <text>", "what you know or do about it");
    const more = act.name === "ack" ? ' --note "restarting the worker"' : ' --by "dana"';
    command.addHelpText("after", examples([`${act.name} 5f2c19aa`, `${act.name} 5f2c19aa 77ab${more}`]));
    runner.does(command, options, async (context, { args, options }) => {
      const faults = args.flatMap((id) => prefixFault(id) ?? []);
      if (faults.length > 0) throw new MonitorError("usage", faults.join("; "));
      const api = await context.api();
      const acted = await context.progress(act.doing, () => act.act(api, args, options));
      context.show(acted, () => acted.map((incident) => actedLine(context, act, incident)));
      return EXIT.fine;
    });
  }
}

function actedLine({ stdout: { paint }, world }: Context, act: Act, incident: ActedIncident): string {
  const { id, code, subject, project_name } = incident;
  const what = `${paint.bold(oneLine(`${code}: ${subject} in ${project_name}`))} ${
    paint.dim(id.slice(0, 8))
  }`;
  if (incident.changed) return `${paint.green("✓")} ${act.done}: ${what}`;
  return `${paint.dim("·")} ${oneLine(act.otherwise(incident, world.now()))}: ${what}`;
}

function overSince(resolvedAt: string | null, now: number): string {
  return resolvedAt === null ? "Nothing to do" : `It is over, ${ago(resolvedAt, now)}`;
}
