/** Tokens with which a project reports, and can do nothing else: kept as SHA-256, compared in constant time. */
import type postgres from "postgres";
import { z } from "zod";
import { AppError } from "../errors.ts";
import { hubError } from "./client.ts";

/** What a token is for. */
export type ReportPurpose = "executions" | "log_drain";

/** As `monitoring.create_report_token` makes them; anything else is refused without asking the database. */
const TOKEN = /^sjm_[0-9a-f]{64}$/;

const tokens = z.array(z.object({ project_name: z.string(), token_hash: z.string() }));

/**
 * The project that a token speaks for.
 *
 * @throws {AppError} `unauthorized`, with no word of what is wrong; `hub_unreachable` or `hub_failed`.
 */
export async function projectOfToken(
  sql: postgres.Sql,
  purpose: ReportPurpose,
  token: string | null,
): Promise<string> {
  if (!mayBeToken(token)) throw refused();
  const given = await digestOf(token);
  const known = await sql`
    select project_name, token_hash from public.report_tokens where purpose = ${purpose} and revoked_at is null`
    .then((rows) => tokens.parse([...rows]))
    .catch((error) => {
      throw hubError(error, "read report_tokens");
    });
  // every one is looked at, so that the time tells nothing of which came close
  const found = known.filter(({ token_hash }) => equalText(token_hash, given));
  const [first] = found;
  if (first === undefined) throw refused();
  return first.project_name;
}

/** Whether a text has a token's form at all. */
export function mayBeToken(token: string | null): token is string {
  return token !== null && TOKEN.test(token);
}

/** The error of a missing or wrong token. */
export function refused(): AppError {
  return new AppError("unauthorized", 'Send this endpoint\'s token in the "x-report-token" header');
}

/** SHA-256 in hexadecimal. */
export async function digestOf(data: string | Uint8Array): Promise<string> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as BufferSource));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Equality of two hashes in a time that depends on their length only. */
function equalText(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i % Math.max(1, b.length));
  return difference === 0;
}
