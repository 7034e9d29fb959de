/** What a command has to work with, and how its options are read. */
import type { Command } from "commander";
import { z } from "zod";
import { oneLine } from "../../supabase/functions/_shared/rules/text.ts";
import type { MonitoringAPI } from "../monitoring_api.ts";
import type { FindOptions } from "./connection.ts";
import { MonitorError } from "./errors.ts";
import { createProgress, type Progress, type Terminal } from "./terminal.ts";

/** The API as commands use it. */
export type Monitor = Pick<MonitoringAPI, keyof MonitoringAPI>;

/** Everything outside of the command line. */
export interface World {
  stdout: Terminal;
  stderr: Terminal;
  /** Finds and opens the monitor. */
  connect(options: FindOptions): Promise<Monitor>;
  stdin(): ReadableStream<Uint8Array>;
  /** Epoch milliseconds. */
  now(): number;
}

/** Ends of a command, as its exit code tells them. */
export const EXIT = { fine: 0, unhealthy: 1, cannot: 2 } as const;
export type ExitCode = typeof EXIT[keyof typeof EXIT];

/** One command as it runs. */
export interface Context {
  readonly world: World;
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly format: "text" | "json";
  /** Work that may take longer than a second. */
  readonly progress: Progress;
  /** The monitor, found at the first call. */
  api(): Promise<Monitor>;
  /** Prints a result: as one JSON document, or as lines for a person. */
  show(result: unknown, lines: () => Iterable<string>): void;
  /** Says something besides the result, on standard error. */
  warn(text: string): void;
}

/** Options that every command has. */
const globalOptions = {
  json: z.boolean().default(false),
  env: z.boolean().default(false),
  rootDir: z.string().optional(),
};
const readGlobals = z.object(globalOptions);

/** What a command does: answers its exit code. */
export type Work<Options> = (
  context: Context,
  given: { args: readonly string[]; options: Options },
) => Promise<ExitCode>;

/** Ties commands to the world and keeps how the one that ran has ended. */
export interface Runner {
  /**
   * Gives a command its work.
   *
   * @param options reads its options, in camel case; what it refuses is a fault of usage.
   */
  does<Options>(command: Command, options: z.ZodType<Options>, work: Work<Options>): void;
  exitCode(): ExitCode;
}

/** Makes the runner of one command line. */
export function createRunner(world: World): Runner {
  let exitCode: ExitCode = EXIT.fine;
  return {
    exitCode: () => exitCode,
    does: (command, options, work) => {
      command.action(async () => {
        const given: unknown = command.optsWithGlobals();
        const parsed = readOptions(command, options, given);
        const { context, close } = createContext(world, readGlobals.parse(given));
        try {
          exitCode = await work(context, { args: command.args, options: parsed });
        } finally {
          await close();
        }
      });
    },
  };
}

function readOptions<T>(command: Command, schema: z.ZodType<T>, given: unknown): T {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(({ path: [name = ""], message }) =>
    `${command.options.find((option) => option.attributeName() === name)?.long ?? String(name)} ${message}`
  );
  throw new MonitorError("usage", faults.join("; "));
}

function createContext(
  world: World,
  { json, env, rootDir }: z.infer<typeof readGlobals>,
): { context: Context; close(): Promise<void> } {
  const { stdout, stderr } = world;
  let monitor: Promise<Monitor> | undefined;
  const context: Context = {
    world,
    stdout,
    stderr,
    format: json ? "json" : "text",
    progress: createProgress(stderr),
    api: () => monitor ??= world.connect({ prefer: env ? "environment" : "stack first", rootDir }),
    show: (result, lines) => {
      if (json) stdout.print(jsonText(result));
      else for (const line of lines()) stdout.print(line);
    },
    warn: (text) => stderr.print(`${stderr.paint.yellow("!")} ${oneLine(text)}`),
  };
  return { context, close: async () => await (await monitor?.catch(() => undefined))?.close() };
}

/** Beyond what JSON asks for, C1 controls and marks that turn the text are escaped: a terminal would obey them. */
const UNSAFE = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A JSON document that is safe to print. */
export function jsonText(value: unknown, indent: number = 2): string {
  return JSON.stringify(value, null, indent).replace(
    UNSAFE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A project by its name, or all. */
export const projectOption = {
  project: z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, "must be lower case letters, digits, _ or -")
    .optional(),
};

/** A number of rows. */
export function limitOption(preset: number) {
  return z.string().regex(/^[1-9]\d{0,4}$/, "must be a number from 1 to 99999").transform(Number).default(
    preset,
  );
}
