/** The HTTP calls that a cron command makes by pg_net, read from its text. What is computed at run time is unknown. */
import { type SqlToken, tokensOf } from "./sql_tokens.ts";

/** A call as the command has it. */
export interface CommandCall {
  /** `monitored`: through the wrapper that keeps its outcome. */
  through: "net" | "monitored";
  /** `null`: not a constant. */
  url: string | null;
  /** Milliseconds; `null`: not a constant. */
  timeoutMs: number | null;
}

/** pg_net's own, where the command gives none. */
const DEFAULT_TIMEOUT_MS = 5_000;

/** Parameters in their order, after the wrapper's `job`. */
const PARAMETERS: Record<string, readonly string[]> = {
  http_post: ["url", "body", "params", "headers", "timeout_milliseconds"],
  http_get: ["url", "params", "headers", "timeout_milliseconds"],
  http_delete: ["url", "params", "headers", "timeout_milliseconds"],
};

/** How deep functions and `do` blocks in dollar quotes are read. */
const DEPTH_LIMIT = 5;

/** Finds every call of `net.http_post()`, `monitored.http_post()` and their kin, also in dollar-quoted blocks. */
export function callsInCommand(command: string, depth = 0): CommandCall[] {
  const tokens = tokensOf(command);
  return tokens.flatMap((token, index): CommandCall[] => {
    if (token.kind === "dollar") return depth < DEPTH_LIMIT ? callsInCommand(token.value, depth + 1) : [];
    const parameters = token.kind === "name" ? PARAMETERS[token.value] : undefined;
    const through = schemaBefore(tokens, index);
    if (parameters === undefined || through === null || !isOther(tokens[index + 1], "(")) return [];
    const given = argumentsOf(tokens, index + 2);
    return [callOf(through, through === "net" ? parameters : ["job", ...parameters], given)];
  });
}

function schemaBefore(tokens: readonly SqlToken[], index: number): CommandCall["through"] | null {
  const schema = tokens[index - 2];
  if (!isOther(tokens[index - 1], ".") || schema?.kind !== "name") return null;
  return schema.value === "net" || schema.value === "monitored" ? schema.value : null;
}

function isOther(token: SqlToken | undefined, value: string): boolean {
  return token?.kind === "other" && token.value === value;
}

/** Tokens of a call's arguments that are read: calls in calls are no reason to read everything again and again. */
const ARGUMENTS_LIMIT = 2_000;

/** The arguments of a call, each as its tokens. */
function argumentsOf(tokens: readonly SqlToken[], from: number): SqlToken[][] {
  const found: SqlToken[][] = [[]];
  let depth = 0;
  for (const token of tokens.slice(from, from + ARGUMENTS_LIMIT)) {
    const mark = token.kind === "other" ? token.value : "";
    if (mark === ")" && depth === 0) break;
    if (mark === "," && depth === 0) {
      found.push([]);
      continue;
    }
    if (mark === "(" || mark === "[") depth++;
    if (mark === ")" || mark === "]") depth--;
    found.at(-1)?.push(token);
  }
  return found;
}

function callOf(
  through: CommandCall["through"],
  parameters: readonly string[],
  given: readonly SqlToken[][],
): CommandCall {
  const values = new Map<string, SqlToken[]>();
  given.forEach((tokens, position) => {
    const [name, assigned] = tokens;
    const named = name?.kind === "name" && (isOther(assigned, ":=") || isOther(assigned, "=>"));
    const key = named ? name.value : parameters[position];
    if (key !== undefined) values.set(key, named ? tokens.slice(2) : tokens);
  });
  const url = values.get("url");
  const timeout = values.get("timeout_milliseconds");
  return {
    through,
    url: url === undefined ? null : constantText(url),
    timeoutMs: timeout === undefined ? DEFAULT_TIMEOUT_MS : constantNumber(timeout),
  };
}

/** The value of an expression of literals, casts and `||` alone. */
function constantText(tokens: readonly SqlToken[]): string | null {
  let value = "";
  let expected: "literal" | "operator" = "literal";
  const rest = withoutCasts(tokens);
  if (rest === null || rest.length === 0) return null;
  for (const token of rest) {
    if (expected === "literal") {
      if (token.kind !== "text" && token.kind !== "dollar") return null;
      value += token.value;
      expected = "operator";
    } else {
      if (!isOther(token, "||")) return null;
      expected = "literal";
    }
  }
  return expected === "operator" ? value : null;
}

function constantNumber(tokens: readonly SqlToken[]): number | null {
  const rest = withoutCasts(tokens);
  const [token, ...more] = rest ?? [];
  return token?.kind === "number" && more.length === 0 ? Number(token.value) : null;
}

/** `null` where a cast is to something else than text, varchar or a whole number. */
function withoutCasts(tokens: readonly SqlToken[]): SqlToken[] | null {
  const kept: SqlToken[] = [];
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index];
    if (token === undefined) break;
    if (!isOther(token, "::")) {
      kept.push(token);
      continue;
    }
    const type = tokens[++index];
    if (type?.kind !== "name" || !["text", "varchar", "int", "integer", "int4"].includes(type.value)) {
      return null;
    }
  }
  return kept;
}
