/** What is doubtful about the HTTP calls in a cron command. Messages never hold a key. */
import type { CommandWarning } from "../domain/http.ts";
import type { HubKnowledge } from "../domain/hub.ts";
import type { ProjectIdentity } from "../domain/project.ts";
import { callsInCommand, type CommandCall } from "./command_calls.ts";
import { targetOf } from "./http_calls.ts";
import { durationsOf, percentile95 } from "./runtime.ts";
import { formatDuration, formatUtc } from "./text.ts";

/** Runs of a function that "usual" can be learned from. */
const RUNS_TO_LEARN = 5;
/** Supabase's hosts of a project's functions. */
const FUNCTION_URL =
  /^https?:\/\/(?:([a-z]{20})\.supabase\.(?:co|in|net)\/functions\/v1|([a-z]{20})\.functions\.supabase\.(?:co|in|net))\/([A-Za-z0-9_-]+)/i;
const JWT = /(?<![A-Za-z0-9])(eyJ[\w-]{8,4096})\.(eyJ[\w-]{4,4096})\.[\w-]{0,4096}/g;
const SECRET_KEY = /(?<![A-Za-z0-9])sb_secret_[\w-]{8,256}/;

/** Warnings of one command, the gravest first, each sentence once. Works on the command as the project has it. */
export function commandWarnings(
  command: string,
  project: ProjectIdentity,
  knowledge: HubKnowledge,
  now: number,
): CommandWarning[] {
  const calls = callsInCommand(command);
  const warnings = [
    // a key that a function is given may be for anything
    ...keyWarnings(command, now).map((warning): CommandWarning =>
      calls.length > 0 ? warning : { ...warning, weight: "low" }
    ),
    ...calls.flatMap((call) => callWarnings(call, project, knowledge)),
  ];
  const once = new Map(warnings.map((warning) => [warning.message, warning]));
  const grave = ({ weight }: CommandWarning) => weight === "important" ? 0 : 1;
  return [...once.values()].sort((a, b) => grave(a) - grave(b));
}

function callWarnings(
  call: CommandCall,
  project: ProjectIdentity,
  knowledge: HubKnowledge,
): CommandWarning[] {
  const unseen: CommandWarning[] = call.through === "monitored" ? [] : [{
    code: "http_outcome_unseen",
    weight: "low",
    message:
      'pg_cron says "succeeded" as soon as a request is queued: call monitored.http_… to see what becomes of it',
  }];
  if (call.url === null) return unseen;
  const parts = FUNCTION_URL.exec(call.url);
  const ref = (parts?.[1] ?? parts?.[2])?.toLowerCase();
  const slug = parts?.[3];
  if (ref === undefined || slug === undefined || project.ref === null) return unseen;
  if (ref !== project.ref) {
    const message = `it calls ${
      targetOf(call.url)
    }, another project's function: that one is not compared with an inventory`;
    return [{ code: "http_other_project", weight: "low", message }, ...unseen];
  }
  return [...functionWarnings(slug, call, knowledge), ...unseen];
}

function functionWarnings(slug: string, call: CommandCall, knowledge: HubKnowledge): CommandWarning[] {
  const functions = knowledge.jobs.filter(({ jobType }) => jobType === "edge_function");
  const known = functions.find(({ jobName }) => jobName === slug);
  if (known === undefined) {
    // nobody asked the Management API yet
    if (functions.length === 0) return [];
    const message = `it calls the edge function "${slug}", which this project does not have`;
    return [{ code: "http_function_unknown", weight: "low", message }];
  }
  if (known.removedAt !== null) {
    const message = `it calls the edge function "${slug}", which was removed by ${
      formatUtc(minuteOf(known.removedAt))
    }`;
    return [{ code: "http_function_removed", weight: "important", message }];
  }
  const durations = durationsOf(knowledge.states.get(known.id)?.recentRuns ?? []);
  const usual = durations.length < RUNS_TO_LEARN ? null : percentile95(durations);
  const { timeoutMs } = call;
  if (usual === null || timeoutMs === null || timeoutMs <= 0 || usual <= timeoutMs) return [];
  const message = `pg_net waits ${formatDuration(timeoutMs)} for "${slug}", which takes up to ` +
    `${formatDuration(usual)}: give timeout_milliseconds, or let the function answer at once`;
  return [{ code: "http_timeout_short", weight: "low", message }];
}

function minuteOf(instant: number): Date {
  return new Date(Math.floor(instant / 60_000) * 60_000);
}

function keyWarnings(command: string, now: number): CommandWarning[] {
  const found: CommandWarning[] = [];
  if (SECRET_KEY.test(command)) {
    found.push({
      code: "http_key_in_command",
      weight: "low",
      message:
        "its command holds a secret key (sb_secret_…) in plain text: keep it in the Vault and select it from there",
    });
  }
  for (const [, header, payload] of command.matchAll(JWT)) {
    if (header === undefined || payload === undefined || claimsOf(header) === null) continue;
    const claims = claimsOf(payload);
    if (claims !== null) found.push(jwtWarning(claims, now));
  }
  return found;
}

function jwtWarning(claims: Record<string, unknown>, now: number): CommandWarning {
  const role = typeof claims["role"] === "string" && /^\w{1,40}$/.test(claims["role"])
    ? ` of role ${claims["role"]}`
    : "";
  const { exp } = claims;
  const expires = typeof exp === "number" && Math.abs(exp) < 8e12 ? new Date(exp * 1000) : null;
  if (expires !== null && expires.getTime() <= now) {
    return {
      code: "http_key_expired",
      weight: "important",
      message: `the JWT${role} in its command expired on ${formatUtc(expires)}`,
    };
  }
  const until = expires === null ? "has no expiry" : `expires on ${formatUtc(expires)}`;
  return {
    code: "http_key_in_command",
    weight: "low",
    message: `its command holds a JWT${role} in plain text, which ${until}: keep a key in the Vault`,
  };
}

function claimsOf(part: string): Record<string, unknown> | null {
  try {
    const bytes = Uint8Array.from(
      atob(part.replaceAll("-", "+").replaceAll("_", "/")),
      (character) => character.charCodeAt(0),
    );
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === "object" && claims !== null && !Array.isArray(claims)
      ? claims as Record<string, unknown>
      : null;
  } catch {
    return null;
  }
}
