/** A hub client that tells of each query before and after it is made, so that a test can act at an exact step. */
import type postgres from "postgres";

/** What is told; what it answers is waited for. */
export interface SqlWatch {
  before?(query: string, parameters: readonly unknown[]): Promise<void> | void;
  after?(query: string, parameters: readonly unknown[], rows: readonly unknown[]): Promise<void> | void;
}

/** The same client, watched. Only plain queries: no fragments, no transactions. */
export function watchSql(sql: postgres.Sql, watch: SqlWatch): postgres.Sql {
  return new Proxy(sql, {
    apply: async (
      target,
      _self,
      [strings, ...parameters]: [TemplateStringsArray, ...postgres.ParameterOrFragment<never>[]],
    ) => {
      const query = strings.join("?");
      await watch.before?.(query, parameters);
      const rows = await target(strings, ...parameters);
      await watch.after?.(query, parameters, rows);
      return rows;
    },
  });
}
