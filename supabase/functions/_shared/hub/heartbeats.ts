/** Heartbeats in the hub: takes a ping, and reads what was heard. */
import type postgres from "postgres";
import { z } from "zod";
import { type HeartbeatFacts, heartbeatFacts, type PingKind } from "../domain/heartbeat.ts";
import { hubError } from "./client.ts";

/** A ping as it arrived. */
export interface Ping {
  token: string;
  kind: PingKind;
  /** Ties the end of a run to its start. */
  runId: string | null;
  exitCode: number | null;
  body: string | null;
}

const received = z.discriminatedUnion("outcome", [
  z.object({ outcome: z.literal("kept") }),
  z.object({ outcome: z.literal("unknown") }),
  z.object({ outcome: z.literal("limited"), retry_after: z.number() }),
]);

/** `unknown`: nobody has such a token. `limited`: too many; `retry_after` is in seconds. */
export type PingOutcome = z.infer<typeof received>;

/**
 * Keeps a ping, in one statement. The token goes no farther than this: the hub knows its hash.
 *
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function receivePing(sql: postgres.Sql, ping: Ping): Promise<PingOutcome> {
  try {
    const hash = await sha256(ping.token);
    const [row] = await sql`
      select monitoring.receive_ping(${hash}, ${ping.kind}, ${ping.runId}, ${ping.exitCode}, ${ping.body}) as received`;
    return received.parse(row?.received);
  } catch (error) {
    throw hubError(error, "keep a ping");
  }
}

async function sha256(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The projects that have heartbeats, or had: those whose incidents still have to end. Gives to the hub those that name
 * no project, unless this is only a look.
 */
export async function heartbeatProjects(
  sql: postgres.Sql,
  { hub, adopt }: { hub: string; adopt: boolean },
): Promise<string[]> {
  try {
    if (adopt) await sql`select monitoring.adopt_heartbeats(${hub})`;
    const rows = await sql<{ name: string }[]>`
      select coalesce(project_name, ${hub}) as name from public.job_heartbeats
      union
      select i.project_name from public.incidents i
      join public.job_inventory j on j.id = i.job_inventory_id
      where i.resolved_at is null and j.job_type in ('heartbeat', 'webhook') and j.removed_at is not null
      order by 1`;
    return rows.map(({ name }) => name);
  } catch (error) {
    throw hubError(error, "list the projects that have heartbeats");
  }
}

/** Ends of runs read of one heartbeat at one look; the rest at the next one. */
const ENDS_LIMIT = 500;

/**
 * Reads the heartbeats of a project.
 *
 * @param cursors By name: the ping up to which each has been judged.
 * @throws {AppError} `hub_unreachable` or `hub_failed`.
 */
export async function readHeartbeats(
  sql: postgres.Sql,
  projectName: string,
  hub: string,
  cursors: Readonly<Record<string, number>>,
): Promise<HeartbeatFacts> {
  try {
    const [row] = await sql`
      select monitoring.heartbeat_facts(${projectName}, ${hub}, ${
      JSON.stringify(cursors)
    }::text::jsonb, ${ENDS_LIMIT})
        as facts`;
    return { ...heartbeatFacts.parse(row?.facts), limit: ENDS_LIMIT };
  } catch (error) {
    throw hubError(error, `read the heartbeats of project "${projectName}"`);
  }
}
