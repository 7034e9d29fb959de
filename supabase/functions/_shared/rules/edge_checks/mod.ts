/**
 * The registry of checks of edge functions, most telling first: the first that finds something gives the incident its
 * code, what the others find is told in it.
 */
import type { FunctionCheck } from "./check.ts";
import { failing } from "./failing.ts";
import { removed } from "./removed.ts";
import { silent } from "./silent.ts";
import { slow } from "./slow.ts";
import { throttled } from "./throttled.ts";
import { unhealthy } from "./unhealthy.ts";

export const functionChecks: readonly FunctionCheck[] = [
  removed,
  throttled,
  unhealthy,
  failing,
  silent,
  slow,
];
