/** `monitor report`: the daily or weekly report, on the screen, as a file to look at, or to those who subscribed. */
import type { Command } from "commander";
import { z } from "zod";
import { reportKind } from "../../../supabase/functions/_shared/domain/report.ts";
import { clean } from "../../../supabase/functions/_shared/rules/text.ts";
import type { ReportAnswer } from "../answers.ts";
import { type Context, EXIT, type Runner } from "../context.ts";
import { MonitorError } from "../errors.ts";
import { examples } from "../help.ts";
import { counted } from "../words.ts";

const options = z.object({
  preview: z.boolean().default(false),
  out: z.string().min(1, "must be a file").optional(),
  send: z.boolean().default(false),
});

export function addReport(program: Command, runner: Runner): void {
  const command = program.command("report")
    .description(
      "Show the daily (of yesterday) or weekly (of last week) report with all its rows; sends nothing",
    )
    .argument("<daily|weekly>", "which")
    .option("--preview", "write it as the mail that subscribers get, to a file to look at")
    .option("--out <file>", "that file (default: report-daily.html or report-weekly.html)")
    .option("--send", "owe it now to the subscribers who have not had it")
    .addHelpText(
      "after",
      examples(["report daily", "report weekly --preview --out /tmp/weekly.html", "report daily --send"]),
    );
  runner.does(command, options, async (context, { args: [name = ""], options: { preview, out, send } }) => {
    const kind = reportKind.safeParse(name).data;
    if (kind === undefined) throw new MonitorError("usage", `A report is daily or weekly, not "${name}"`);
    if (send && (preview || out !== undefined)) {
      throw new MonitorError("usage", "Give either --send or --preview");
    }
    const api = await context.api();
    const answer = await context.progress(
      send ? `Sending the ${kind} report` : `Writing the ${kind} report`,
      () => send ? api.sendReport(kind) : api.previewReport(kind),
    );
    if (preview || out !== undefined) await save(context, answer, out ?? `report-${kind}.html`);
    else context.show(answer, () => send ? sentLines(answer) : [clean(answer.text ?? "")]);
    return EXIT.fine;
  });
}

async function save(context: Context, answer: ReportAnswer, file: string): Promise<void> {
  try {
    await Deno.writeTextFile(file, answer.mail?.html ?? "");
  } catch (error) {
    const why = error instanceof Error ? error.name : "unexpected error";
    throw new MonitorError("invalid_value", `Cannot write "${file}": ${why}`);
  }
  context.show({ file, subject: answer.mail?.subject, recipients: answer.recipients }, () => [
    `Wrote ${file}: ${answer.mail?.subject ?? ""}`,
    ...recipientLines(answer),
  ]);
}

function sentLines(answer: ReportAnswer): string[] {
  const had = answer.recipients.length - answer.queued;
  return [
    `${
      counted(answer.queued, "subscriber")
    } will have the report of ${answer.from} within a minute; ${had} had it.`,
    ...recipientLines(answer),
  ];
}

function recipientLines({ recipients }: ReportAnswer): string[] {
  if (recipients.length === 0) return ["Nobody has subscribed to it: insert into report_subscriptions …"];
  return recipients.map(({ name, channel, result, state }) =>
    `  ${name ?? channel} (${channel}): ${result === "had" ? `had it (${state ?? "on its way"})` : result}`
  );
}
