/** Reads what a project's pg_net has done, in the round trip that reads pg_cron. Every SQL text about it is here. */
import { z } from "zod";
import { httpAnswers, httpCall, type HttpFacts, httpQueue, type HttpReading } from "../domain/http.ts";

/** Calls in one answer; what is left is read by the next look, well inside the 6 hours for which pg_net keeps answers. */
const CALLS_LIMIT = 2_000;

const asked = z.object({
  queue: httpQueue.nullable(),
  lastHour: httpAnswers.nullable(),
  report: z.object({ lastCallId: z.number().int().nullable(), calls: z.array(httpCall) }).nullable(),
  errors: z.array(z.string()),
});

/**
 * Statements whose last one answers `http`: JSON, or an empty text where the project has no pg_net. What cannot be read
 * there is told in the answer and disturbs nothing else, not even by being slow.
 *
 * A worker's batch is one transaction that has deleted its requests from the queue: until it ends they are still seen,
 * with its transaction id in `xmax`.
 */
export function sqlOfHttp({ callCursor, openCalls }: HttpReading): string {
  const again = openCalls.map(({ callId }) => whole(callId)).join(", ");
  return `do $http$
declare
  v_queue json; v_hour json; v_report json; v_errors text[] := '{}';
begin
  if to_regclass('net._http_response') is null then return; end if;
  begin
    execute $sql$${QUEUE}$sql$ into v_queue;
    execute $sql$${LAST_HOUR}$sql$ into v_hour;
  exception when query_canceled or others then v_errors := v_errors || sqlstate;
  end;
  if not '57014' = any (v_errors) then
    begin
      if to_regprocedure('monitored.http_report(bigint,bigint[],integer)') is not null then
        execute 'select monitored.http_report($1, $2, $3)' into v_report
          using ${callCursor === null ? "null::bigint" : `${whole(callCursor)}::bigint`},
                array[${again}]::bigint[], ${CALLS_LIMIT};
      end if;
    exception when query_canceled or others then v_errors := v_errors || sqlstate;
    end;
  end if;
  perform set_config('job_monitor.http', json_build_object(
    'queue', v_queue, 'lastHour', v_hour, 'report', v_report, 'errors', v_errors)::text, true);
end $http$;
select current_setting('job_monitor.http', true) as http`;
}

/** Parses the answer to {@link sqlOfHttp}; `null`: the project has no pg_net. */
export function parseHttp(answer: string | null | undefined): HttpFacts | null {
  if (answer === null || answer === undefined || answer === "") return null;
  const parsed = asked.safeParse(jsonOf(answer));
  if (!parsed.success) {
    return { queue: null, lastHour: null, calls: null, lastCallId: null, errors: ["not as expected"] };
  }
  const { report, ...rest } = parsed.data;
  return { ...rest, calls: report?.calls ?? null, lastCallId: report?.lastCallId ?? null };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function whole(value: number): string {
  if (!Number.isSafeInteger(value)) throw new RangeError(`Expected a whole number, got "${value}"`);
  return String(value);
}

/** The worker's session is known by its name; one that may not see other sessions sees none. */
const QUEUE = `
  with worker as materialized (
    select xact_start, backend_xid from pg_stat_get_activity(null)
    where datid = (select oid from pg_database where datname = current_database())
      and (backend_type like '%pg_net%' or application_name like 'pg_net %')
  ), queue as materialized (
    select q.id, q.timeout_milliseconds, exists (select from worker w where w.backend_xid = q.xmax) as in_batch
    from net.http_request_queue q
  )
  select json_build_object(
    'length', count(*), 'firstId', min(id),
    'longestTimeoutMs', case when bool_and(timeout_milliseconds > 0) then max(timeout_milliseconds) end,
    'workerUp', case when pg_has_role(current_user, 'pg_read_all_stats', 'usage') then exists (select from worker) end,
    'batchSince', case when bool_or(in_batch) then
       (select round(extract(epoch from min(xact_start)) * 1000) from worker where backend_xid is not null) end,
    'inBatch', count(*) filter (where in_batch),
    'batchTimeoutMs', case when bool_and(timeout_milliseconds > 0) filter (where in_batch) then
       max(timeout_milliseconds) filter (where in_batch) end)
  from queue`;

const LAST_HOUR = `
  select json_build_object(
    'answers', count(*),
    'failed', count(*) filter (where status_code >= 400 or (error_msg is not null and timed_out is not true)),
    'timedOut', count(*) filter (where timed_out))
  from net._http_response where created > now() - interval '1 hour'`;
