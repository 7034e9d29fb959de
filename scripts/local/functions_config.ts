/** Which functions the stack serves, read from `supabase/config.toml` as the Supabase CLI reads it. */
import { parse } from "smol-toml";
import { dirname, resolve } from "node:path";

/** One function that `config.toml` enables. Paths are absolute. */
export interface FunctionSettings {
  name: string;
  entrypoint: string;
  importMap: string;
}

/** `config.toml` asks for something that cannot be served; every fault at once, one sentence each. */
export class FunctionsConfigError extends Error {
  readonly faults: readonly string[];

  constructor(path: string, faults: readonly string[]) {
    super(`Cannot serve the functions of "${path}":\n${faults.map((fault) => `  - ${fault}`).join("\n")}`);
    this.name = "FunctionsConfigError";
    this.faults = faults;
  }
}

/** Reads the enabled functions and checks that each could be deployed as it is written. */
export async function readFunctionsConfig(configPath: string): Promise<FunctionSettings[]> {
  const text = await Deno.readTextFile(configPath);
  const { functions, faults } = parseFunctionsConfig(text, dirname(resolve(configPath)));
  for (const { name, entrypoint, importMap } of functions) {
    for (const [key, path] of [["entrypoint", entrypoint], ["import_map", importMap]] as const) {
      if (!(await isFile(path))) faults.push(`[functions.${name}] ${key} "${path}" does not exist`);
    }
  }
  if (faults.length > 0) throw new FunctionsConfigError(configPath, faults);
  return functions;
}

/**
 * The enabled functions of a `config.toml`, with what is wrong with them.
 *
 * @param folder the folder of `config.toml`, against which its paths are read.
 */
export function parseFunctionsConfig(
  text: string,
  folder: string,
): { functions: FunctionSettings[]; faults: string[] } {
  let table: unknown;
  try {
    table = parse(text)["functions"];
  } catch (error) {
    return { functions: [], faults: [error instanceof Error ? error.message : String(error)] };
  }
  const functions: FunctionSettings[] = [];
  const faults: string[] = [];
  for (const [name, entry] of Object.entries(isTable(table) ? table : {})) {
    if (!isTable(entry) || entry["enabled"] === false) continue;
    const faultsOfEntry = checkEntry(name, entry);
    faults.push(...faultsOfEntry);
    if (faultsOfEntry.length > 0) continue;
    functions.push({
      name,
      entrypoint: resolve(folder, textOr(entry["entrypoint"], `./functions/${name}/index.ts`)),
      importMap: resolve(folder, textOr(entry["import_map"], "")),
    });
  }
  return { functions, faults };
}

function checkEntry(name: string, entry: Record<string, unknown>): string[] {
  const faults: string[] = [];
  if (typeof entry["import_map"] !== "string") {
    faults.push(
      `[functions.${name}] must name its import_map: deployment has no fallback to functions/deno.json`,
    );
  }
  // Absent means true, as in the Supabase CLI.
  if (entry["verify_jwt"] !== false) {
    faults.push(
      `[functions.${name}] must say verify_jwt = false: the local gateway issues no user tokens, ` +
        "and functions authenticate their callers by named secret keys",
    );
  }
  return faults;
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOr(value: unknown, fallback: string): string {
  return typeof value === "string" ? value : fallback;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}
