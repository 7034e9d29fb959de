/** What is made to go wrong on purpose: the incidents that must be found. */

/** Kinds of incidents. */
export const INJECTION_KINDS = [
  "failed",
  "missed",
  "never ran",
  "stuck",
  "overrun",
  "criteria",
  "scheduler down",
  "unreachable",
] as const;
export type InjectionKind = (typeof INJECTION_KINDS)[number];

/** One fault with its time; true time, epoch milliseconds. */
export interface Injection {
  kind: InjectionKind;
  /** The job, or "" for the project. */
  specId: string;
  from: number;
  until: number;
  /** Written when it could first be known at a look: since when it held, and since when the rules' own patience is over. */
  held: { since: number; knowable: number; atLook: number } | null;
  /** True time of the look that told it. */
  toldAt: number | null;
}

/** A fault that nobody has seen yet. */
export function injection(kind: InjectionKind, specId: string, from: number, until: number): Injection {
  return { kind, specId, from, until, held: null, toldAt: null };
}
