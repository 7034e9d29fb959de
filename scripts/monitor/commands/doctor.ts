/** `monitor doctor`: would an alert arrive? What is wrong, and what to do about it. */
import type { Command } from "commander";
import { z } from "zod";
import { oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import { wrap } from "../../local/screen.ts";
import type { DoctorReport } from "../../monitoring_api.ts";
import { type Context, EXIT, type Runner } from "../context.ts";
import { examples } from "../help.ts";

const SIGNS = { ok: "✓", warn: "!", fail: "✗" } as const;
const COLOURS = { ok: "green", warn: "yellow", fail: "red" } as const;
const LABEL = 11;

export function addDoctor(program: Command, runner: Runner): void {
  const command = program.command("doctor")
    .description("Would an alert arrive? Everything it takes, and what to do; exit 1 if something fails")
    .addHelpText("after", examples(["doctor", "doctor --json", "doctor --env"]));
  runner.does(command, z.object({}), async (context) => {
    const api = await context.api();
    const report = await context.progress("Looking at everything", () => api.doctor());
    context.show(report, () => reportLines(context, report));
    return report.ok ? EXIT.fine : EXIT.unhealthy;
  });
}

function* reportLines({ stdout }: Context, { findings, failed, warned }: DoctorReport): Generator<string> {
  const { paint, width } = stdout;
  let area = "";
  for (const finding of findings) {
    const label = finding.area === area ? "" : finding.area;
    area = finding.area;
    const colour = paint[COLOURS[finding.status]];
    const [first = "", ...rest] = wrap(oneLine(finding.message), width - LABEL - 2);
    yield `${paint.dim(label.padEnd(LABEL))}${colour(SIGNS[finding.status])} ${first}`;
    for (const line of rest) yield `${" ".repeat(LABEL + 2)}${line}`;
    if (finding.remedy === null) continue;
    for (const line of wrap(`→ ${oneLine(finding.remedy)}`, width - LABEL - 2)) {
      yield `${" ".repeat(LABEL + 2)}${paint.cyan(line)}`;
    }
  }
  yield "";
  const well = findings.length - failed - warned;
  yield [
    failed === 0 ? paint.green("Nothing fails") : paint.red(`${failed} ${failed === 1 ? "fails" : "fail"}`),
    ...warned === 0 ? [] : [paint.yellow(`${warned} to look at`)],
    `${well} fine`,
  ].join(", ");
}
