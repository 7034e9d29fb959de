/** How help texts name commands, on this machine. */
import { taskRunner } from "../local/task_runner.ts";

/** A command of ours as a person types it here. */
export function task(command: string): string {
  return `${taskRunner()} monitor ${command}`;
}

/** The examples at the end of a help text. */
export function examples(commands: readonly string[]): string {
  return `\nExamples:\n${commands.map((command) => `  ${task(command)}`).join("\n")}`;
}
