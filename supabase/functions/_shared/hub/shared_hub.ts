/** One connection to the hub for all requests that are answered at the same time, for functions that are called in crowds. */
import type postgres from "postgres";
import { type HubAddress, openHub } from "./client.ts";

/** Lets work use the hub; the connection ends with the last one that uses it. */
export type UseHub = <T>(work: (sql: postgres.Sql) => Promise<T>) => Promise<T>;

/**
 * Shares connections to the hub.
 *
 * @param address Asked for at each new connection.
 */
export function shareHub(address: () => HubAddress): UseHub {
  let shared: { sql: postgres.Sql; users: number } | null = null;
  return async (work) => {
    const mine = shared ??= { sql: openHub(address()), users: 0 };
    mine.users++;
    try {
      return await work(mine.sql);
    } finally {
      mine.users--;
      if (mine.users === 0) {
        shared = null;
        await mine.sql.end({ timeout: 2 }).catch(() => {});
      }
    }
  };
}
