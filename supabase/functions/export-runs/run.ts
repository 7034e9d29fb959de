/** The line: what nobody was told of → as spans, as check-ins → sent → the cursor moves. Each exporter fails alone. */
import type { z } from "zod";
import type { Config } from "../_shared/config.ts";
import { describeError } from "../_shared/errors.ts";
import type { CheckRunEnd } from "../_shared/hub/check_runs.ts";
import { type Exporter, withLease } from "../_shared/hub/exports.ts";
import { triggerInput } from "../_shared/http/trigger.ts";
import { failureFields } from "../_shared/log.ts";
import { countCheckIns, exportCheckIns } from "./check_ins.ts";
import type { ExportDeps, Exported } from "./deps.ts";
import { countTraces, exportTraces } from "./traces.ts";

/** What a caller may ask. */
export const exportInput = triggerInput.pick({ source: true, dry_run: true });
export type ExportInput = z.infer<typeof exportInput>;

/** One exporter in the answer. */
export interface ExportReport extends Exported {
  exporter: Exporter;
  /** Another call exports at the moment. */
  busy: boolean;
  /** In a dry run: what the first request, or the first check-ins, would hold. */
  waiting?: number;
}

/** The answer of an export. */
export interface ExportsReport {
  exports: ExportReport[];
}

/** Whether anybody is set up to be told. */
export function isWanted(config: Pick<Config, "secret">): boolean {
  return EXPORTERS.some(({ variable }) => config.secret(variable) !== undefined);
}

const EXPORTERS: readonly {
  name: Exporter;
  variable: string;
  run(deps: ExportDeps, token: string): Promise<Exported>;
  waiting(deps: ExportDeps): Promise<number>;
}[] = [
  { name: "traces", variable: "OTLP_ENDPOINT", run: exportTraces, waiting: countTraces },
  { name: "check_ins", variable: "SENTRY_DSN", run: exportCheckIns, waiting: countCheckIns },
];

/** Exports what there is; a dry run only looks. */
export async function runExport(
  deps: ExportDeps,
  input: Pick<ExportInput, "dry_run">,
): Promise<ExportsReport> {
  const wanted = EXPORTERS.filter(({ variable }) => deps.config.secret(variable) !== undefined);
  const exports: ExportReport[] = [];
  // one after the other: they share a connection, and nobody waits for them
  for (const { name, run, waiting } of wanted) {
    const look = async () => ({ ...NOTHING, waiting: await waiting(deps) });
    const work = input.dry_run ? look() : withLease(deps.sql, name, (token) => run(deps, token));
    const done = await work.catch((error): Exported => {
      deps.log.error("not exported", { exporter: name, ...failureFields(error) });
      return { ...NOTHING, error: describeError(error).message };
    });
    exports.push({ exporter: name, busy: done === null, ...done ?? NOTHING });
  }
  return { exports };
}

const NOTHING: Exported = { sent: 0, refused: 0, error: null };

/** What to note of it. */
export function exportEnding({ exports }: ExportsReport): CheckRunEnd {
  const faults = exports.filter(({ error, refused }) => error !== null || refused > 0)
    .map(({ exporter, error, refused }) =>
      `${exporter}: ${[error, refused > 0 ? `${refused} refused` : null].filter(Boolean).join("; ")}`
    );
  return {
    status: faults.length === 0 ? "complete" : faults.length < exports.length ? "partial" : "failed",
    counts: Object.fromEntries(exports.map(({ exporter, sent }) => [exporter, sent])),
    error: faults.length === 0 ? null : faults.join("; "),
  };
}
