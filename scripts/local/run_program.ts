/** Runs other programs, and the one error that the local stack throws. */

/** An error whose message tells a person at a terminal what is wrong and what to do. It holds no secret. */
export class LocalPostgresError extends Error {
  override readonly name = "LocalPostgresError";
}

/** The account a program runs under. */
export interface Account {
  name: string;
  uid: number;
  gid: number;
}

/** How a program ended. */
export interface ProgramResult {
  success: boolean;
  code: number;
  stdout: string;
  stderr: string;
}

/** Variables beside {@link RunOptions.env} that a program may need from ours. */
const INHERITED = ["PATH", "HOME", "TMPDIR", "TZDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/** How {@link runProgram} runs a program. */
export interface RunOptions {
  /** Run as this account instead of ours; needs root. */
  account?: Account | undefined;
  /** Added to the few variables that are passed on. */
  env?: Record<string, string>;
}

/**
 * Runs a program to its end in `/`, since the account may not be allowed where we are.
 * @throws {Deno.errors.NotFound} where there is no such program.
 */
export async function runProgram(
  program: string,
  args: string[],
  options: RunOptions = {},
): Promise<ProgramResult> {
  const inherited = INHERITED.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const output = await new Deno.Command(program, {
    args,
    cwd: "/",
    clearEnv: true,
    env: { ...Object.fromEntries(inherited), LC_ALL: "C", ...options.env },
    stdin: "null",
    ...(options.account ? { uid: options.account.uid, gid: options.account.gid } : {}),
  }).output();
  const decoder = new TextDecoder();
  return {
    success: output.success,
    code: output.code,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}

/**
 * Runs a program that must succeed.
 * @throws {LocalPostgresError} with `doing` and the last lines that the program wrote.
 */
export async function mustRun(
  doing: string,
  program: string,
  args: string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await runProgram(program, args, options);
  if (result.success) return result.stdout;
  const said = lastLines(`${result.stdout}\n${result.stderr}`, 5);
  throw new LocalPostgresError(`Cannot ${doing}: "${program}" ended with ${result.code}\n${said}`);
}

/** The last lines of a text that say anything, indented. */
export function lastLines(text: string, count: number): string {
  return text.split("\n").filter((line) => line.trim() !== "").slice(-count).map((line) => `  ${line}`).join(
    "\n",
  );
}
