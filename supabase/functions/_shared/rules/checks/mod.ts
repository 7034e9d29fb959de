/** The registry of checks, most telling first: a job's incident has the code of the first that finds something. */
import type { Check } from "./check.ts";
import { failed } from "./failed.ts";
import { missed } from "./missed.ts";

export const checks: readonly Check[] = [missed, failed];
