/** `monitor alert test`: does a channel work? */
import type { Command } from "commander";
import { z } from "zod";
import { oneLine } from "../../../supabase/functions/_shared/rules/text.ts";
import { EXIT, type Runner } from "../context.ts";
import { MonitorError } from "../errors.ts";
import { examples } from "../help.ts";

export function addAlert(program: Command, runner: Runner): void {
  const alert = program.command("alert").helpCommand(false).description("Try the channels that alerts go to");
  const command = alert.command("test")
    .description("Send a test alert; exit 2 if it does not get through")
    .argument("<channel>", "discord, telegram, or the name of a row of alert_config")
    .addHelpText("after", examples(["alert test discord", 'alert test "on call"']));
  runner.does(command, z.object({}), async (context, { args: [channel = ""] }) => {
    const api = await context.api();
    const answer = await context.progress(`Sending a test alert to ${channel}`, () => api.testAlert(channel));
    const { paint } = context.stdout;
    const failed = answer.deliveries.filter(({ state }) => state !== "sent");
    if (failed.length === 0 || context.format === "json") {
      context.show(answer, () => [
        `${paint.green("✓")} ${oneLine(channel)} took ${
          answer.sent === 1 ? "the test alert" : `${answer.sent} test alerts`
        }`,
      ]);
    }
    for (const { note } of answer.deliveries) if (note !== undefined) context.warn(note);
    if (failed.length === 0) return EXIT.fine;
    const reasons = failed.map(({ error, state }) => oneLine(error ?? state));
    if (context.format === "json") return EXIT.cannot;
    const which = answer.sent === 0 ? "" : `${failed.length} of ${answer.deliveries.length} rows of `;
    throw new MonitorError(
      "not_sent",
      `${which}${channel} did not take the test alert: ${reasons.join("; ")}`,
      {
        hints: ["Set its row of alert_config right and try again"],
      },
    );
  });
}
