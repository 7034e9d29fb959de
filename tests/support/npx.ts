/** Programs that npm brings at a version of their own, for tests of what stands outside this repository. */

/** How {@link npx} runs a program. */
export interface NpxOptions {
  cwd?: string;
  /** Added to the environment. */
  env?: Record<string, string>;
}

/** Longest call, in milliseconds: the first one may download the program. */
const CALL_MS = 120_000;

/**
 * Runs the program of a package, `name@version`, and answers what it printed.
 * @throws {Error} with what npx or the program said.
 */
export async function npx(
  program: string,
  args: readonly string[],
  options: NpxOptions = {},
): Promise<string> {
  const { success, signal, stdout, stderr } = await spawn(program, args, options).output();
  const [printed = "", said = ""] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (success) return printed;
  const how = signal === null ? "" : ` within ${CALL_MS / 1000} s`;
  throw new Error(`Cannot run "${program} ${args[0]}" by npx${how}:\n${said}${printed}`);
}

function spawn(program: string, args: readonly string[], { env, ...where }: NpxOptions): Deno.ChildProcess {
  try {
    return new Deno.Command("npx", {
      args: ["-y", program, ...args],
      ...where,
      env: { NO_COLOR: "1", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(CALL_MS),
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`Cannot run "${program}": install Node.js, which brings npx`);
  }
}
