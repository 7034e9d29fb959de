/** The functions of this repository behind a gateway, for tests that call them over HTTP without the whole stack. */
import { downloadPackages } from "../../scripts/local/function_process.ts";
import { readFunctionsConfig } from "../../scripts/local/functions_config.ts";
import { type Gateway, startGateway } from "../../scripts/local/gateway.ts";
import { CONFIG_TOML, LOCK_FILE } from "../../scripts/local/repository.ts";

/** What the functions are served with. */
export interface FunctionsServed {
  /** Everything that they see in their environment. */
  env: Readonly<Record<string, string>>;
  /** Takes their logs, one file each; also marks their processes. */
  logDir: string;
  /** Those to serve; all without it. */
  names?: readonly string[];
}

/** Serves the functions on a free port. As in the stack, what they import is there before the first of them starts. */
export async function serveFunctions({ env, logDir, names }: FunctionsServed): Promise<Gateway> {
  const all = await readFunctionsConfig(CONFIG_TOML);
  const functions = all.filter(({ name }) => names?.includes(name) ?? true);
  await downloadPackages(functions, LOCK_FILE, () => {});
  const marker = `--stack=${logDir}`;
  return await startGateway({ port: 0, functions, env, logDir, marker, lockFile: LOCK_FILE });
}
