/** Things that people name by the beginning of an id, as an SMS or a table shows it. */
import { MonitorError } from "./errors.ts";

/** Fewer characters hit by chance. */
const SHORTEST = 4;
/** Candidates shown of an ambiguous one. */
const MOST = 8;

/** What {@link findByPrefix} looks for. */
export interface PrefixSearch<T> {
  /** `incident`, for messages. */
  kind: string;
  /** Where several fit but one of these, it is meant. */
  preferred(one: T): boolean;
  describe(one: T): string;
  /** The command that lists them. */
  list: string;
}

/** What is wrong with an id as typed, or `null`: it may begin with `#`, as in an SMS. */
export function prefixFault(text: string): string | null {
  if (new RegExp(`^#?[0-9a-f-]{${SHORTEST},36}$`, "i").test(text.trim())) return null;
  return `"${text}" is no id: give at least its first ${SHORTEST} characters`;
}

/**
 * The one thing whose id begins so.
 *
 * @throws {MonitorError} `usage` for what is no id, `not_found`, or `ambiguous` with the candidates.
 */
export function findByPrefix<T extends { id: string }>(
  text: string,
  known: readonly T[],
  search: PrefixSearch<T>,
): T {
  const fault = prefixFault(text);
  if (fault !== null) throw new MonitorError("usage", fault);
  const prefix = text.trim().replace(/^#/, "").toLowerCase();
  const fitting = known.filter(({ id }) => id.startsWith(prefix));
  const preferred = fitting.filter(search.preferred);
  const candidates = preferred.length > 0 ? preferred : fitting;
  const [found] = candidates;
  if (found === undefined) {
    throw new MonitorError("not_found", `No ${search.kind} has an id that begins with "${prefix}"`, {
      hints: [`See them with ${search.list}`],
    });
  }
  if (candidates.length === 1) return found;
  throw new MonitorError(
    "ambiguous",
    `${candidates.length} ${search.kind}s have ids that begin with "${prefix}"`,
    { candidates: candidates.slice(0, MOST).map(search.describe) },
  );
}
