/**
 * The layer rule as a script: which room of the house may import which. Reads the module graph from
 * `deno info --json`, so that what it judges is what runs.
 */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";

const FUNCTIONS = fileURLToPath(new URL("../supabase/functions/", import.meta.url));

/** The rooms, most particular first. */
const ROOMS: readonly [room: string, files: RegExp][] = [
  ["schedule", /^_shared\/rules\/schedule(\.ts$|\/)/],
  ["silences", /^_shared\/rules\/silences\.ts$/],
  ["domain", /^_shared\/domain\//],
  ["rules", /^_shared\/rules\//],
  ["sources", /^_shared\/sources\//],
  ["hub", /^_shared\/hub\//],
  ["guard", /^_shared\/channels\/url_guard\.ts$/],
  ["deliver", /^_shared\/channels\/deliver\.ts$/],
  ["channels", /^_shared\/channels\//],
  ["reports", /^_shared\/http\/(error_reports|sentry)\.ts$/],
  ["http", /^_shared\/http\//],
  ["base", /^_shared\/(errors|log|clock)\.ts$/],
  ["database", /^_shared\/(database|secure_socket)\.ts$/],
  ["config", /^_shared\/config\.ts$/],
  ["index", /^[a-z0-9-]+\/index\.ts$/],
  ["function", /^[a-z0-9-]+\//],
];

/** What each room may import: other rooms, its own, and packages (`npm:` without the version). */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  domain: ["domain", "npm:zod"],
  schedule: ["schedule", "domain"],
  silences: ["rules", "domain", "npm:croner"],
  rules: ["rules", "schedule", "silences", "domain"],
  channels: ["channels", "domain", "rules", "npm:zod"],
  guard: ["base"],
  deliver: ["deliver", "guard", "channels", "domain", "rules", "base", "config"],
  sources: ["sources", "guard", "domain", "base", "database", "npm:postgres", "npm:zod"],
  hub: ["hub", "domain", "base", "database", "npm:postgres", "npm:zod"],
  database: ["database", "npm:postgres", "node"],
  base: ["base", "rules"],
  config: ["config", "domain", "base", "npm:zod"],
  reports: ["reports", "http", "base", "config", "rules", "deliver"],
  http: ["http", "reports", "base", "npm:zod", "npm:@supabase/server"],
  function: [
    "function",
    "base",
    "config",
    "domain",
    "rules",
    "sources",
    "hub",
    "channels",
    "deliver",
    "guard",
    "http",
    "npm:zod",
    "npm:postgres",
  ],
  index: ["function", "base", "config", "domain", "hub", "http", "reports"],
};

/** Who may name the environment or serve; the one room that needs Deno's own TLS; and what reports errors of all of them. */
const MAY_TOUCH_DENO = new Set(["index", "database", "reports"]);

interface ModuleInfo {
  specifier: string;
  dependencies?: { specifier: string; code?: { specifier?: string }; type?: { specifier?: string } }[];
}

/** Every breach of the layer rule, one sentence each. */
export async function findBreaches(): Promise<string[]> {
  const breaches: string[] = [];
  for (const module of await readModules()) {
    const file = pathOf(module.specifier);
    if (file === null) continue;
    const room = roomOf(file);
    if (room === null) {
      breaches.push(`${file} stands in no room of the house`);
      continue;
    }
    breaches.push(...(module.dependencies ?? []).flatMap((dependency) => breachOf(file, room, dependency)));
    const text = await Deno.readTextFile(FUNCTIONS + file);
    if (!MAY_TOUCH_DENO.has(room) && /\bDeno\./.test(withoutComments(text))) {
      breaches.push(`${file} uses Deno.*, which only a function's index.ts and the database room may`);
    }
  }
  return breaches;
}

function breachOf(
  file: string,
  room: string,
  dependency: NonNullable<ModuleInfo["dependencies"]>[number],
): string[] {
  const target = dependency.code?.specifier ?? dependency.type?.specifier ?? dependency.specifier;
  const allowed = MAY_IMPORT[room] ?? [];
  const path = pathOf(target);
  if (path === null) {
    if (target.startsWith("node:")) {
      return allowed.includes("node") ? [] : [`${file} (${room}) imports "${target}"`];
    }
    const name = /^npm:\/?(@[^/]+\/[^@/]+|[^@/]+)/.exec(target)?.[1];
    return allowed.includes(`npm:${name}`)
      ? []
      : [`${file} (${room}) imports "${target}", which ${room} may not`];
  }
  const other = roomOf(path);
  if (room === "function" && other === "function" && file.split("/")[0] !== path.split("/")[0]) {
    return [`${file} imports another function: ${path}`];
  }
  return other !== null && allowed.includes(other)
    ? []
    : [`${file} (${room}) imports ${path} (${other}), which ${room} may not`];
}

async function readModules(): Promise<ModuleInfo[]> {
  const entries = [...Deno.readDirSync(FUNCTIONS)].filter((entry) =>
    entry.isDirectory && !entry.name.startsWith("_")
  );
  const modules = new Map<string, ModuleInfo>();
  for (const { name } of entries) {
    const info = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", `${FUNCTIONS}${name}/index.ts`],
      cwd: FUNCTIONS,
      stderr: "inherit",
    }).output();
    if (!info.success) throw new Error(`Cannot read the module graph of "${name}"`);
    const graph: { modules: ModuleInfo[] } = JSON.parse(new TextDecoder().decode(info.stdout));
    for (const module of graph.modules) modules.set(module.specifier, module);
  }
  return [...modules.values()].sort((a, b) => a.specifier.localeCompare(b.specifier));
}

function pathOf(specifier: string): string | null {
  if (!specifier.startsWith("file:")) return null;
  const path = relative(FUNCTIONS, fileURLToPath(specifier));
  return path.startsWith("..") ? null : path;
}

function roomOf(path: string): string | null {
  return ROOMS.find(([, files]) => files.test(path))?.[0] ?? null;
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "");
}

if (import.meta.main) {
  const breaches = await findBreaches();
  // deno-lint-ignore no-console
  for (const breach of breaches) console.error(breach);
  Deno.exit(breaches.length === 0 ? 0 : 1);
}
