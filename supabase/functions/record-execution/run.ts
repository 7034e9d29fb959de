/** Takes a report of executions: token, body, redaction, one row an execution. */
import type postgres from "postgres";
import { executionReport, type ReportedExecution } from "../_shared/domain/function_report.ts";
import { AppError } from "../_shared/errors.ts";
import { parseBody, readBytes } from "../_shared/http/read_body.ts";
import { recordExecutions } from "../_shared/hub/function_reports.ts";
import { mayBeToken, projectOfToken, refused } from "../_shared/hub/report_tokens.ts";
import { redact } from "../_shared/rules/redact.ts";
import { clean } from "../_shared/rules/text.ts";

/** Bytes of a report: 100 executions whose errors are long and not in ASCII. */
const BODY_LIMIT = 512 * 1024;
/** Characters of an error that are kept. */
const ERROR_LIMIT = 1_000;

/** Opens the hub for one use. */
export type UseHub = <T>(use: (sql: postgres.Sql) => Promise<T>) => Promise<T>;

/**
 * Records a report.
 *
 * @throws {AppError} `unauthorized`, `too_large`, `bad_request` naming every fault, `hub_unreachable` or `hub_failed`.
 */
export async function receiveExecutions(
  request: Request,
  token: string | null,
  withHub: UseHub,
): Promise<{ recorded: number }> {
  if (!mayBeToken(token)) throw refused();
  return await withHub(async (sql) => {
    // who may not report has no body read
    const project = await projectOfToken(sql, "executions", token);
    const report = executionReport.safeParse(parseBody(await readBytes(request, BODY_LIMIT)));
    if (!report.success) {
      const faults = report.error.issues.map((issue) =>
        `${issue.path.join(".") || "body"}: ${issue.message}`
      );
      throw new AppError("bad_request", `Cannot record executions: ${faults.join("; ")}`, { faults });
    }
    return { recorded: await recordExecutions(sql, project, report.data.executions.map(withoutSecrets)) };
  });
}

function withoutSecrets(execution: ReportedExecution): ReportedExecution {
  const { error } = execution;
  if (error === null) return execution;
  const safe = (text: string) => redact(clean(text)).slice(0, ERROR_LIMIT).toWellFormed();
  return { ...execution, error: { name: safe(error.name), message: safe(error.message) } };
}
