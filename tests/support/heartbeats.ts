/** What tests of heartbeats have in common. */
import type { TestDatabase } from "./postgres.ts";

/** The SHA-256 of a token, as `monitoring.receive_ping` wants it. */
export async function heartbeatUrlHash(token: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A ping as it is kept. */
export interface KeptPing {
  kind: string;
  /** Whether the start of the run that it ends is known. */
  started: boolean;
  ended_by: string | null;
  exit_code: number | null;
  body: string | null;
}

/** All pings of a heartbeat, oldest first. */
export async function pingsOf(hub: TestDatabase, name: string): Promise<KeptPing[]> {
  return [
    ...await hub.sql<KeptPing[]>`
    select kind, started_at is not null as started, ended_by, exit_code, body
    from monitoring.heartbeat_pings where job_name = ${name} order by id`,
  ];
}
