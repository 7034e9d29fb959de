/** What the doctor says: one line each, and what to do about it. */

/** Parts of the whole, in the order in which they depend on each other. */
export const AREAS = [
  "connection",
  "schema",
  "schedules",
  "runs",
  "projects",
  "alerts",
  "outbox",
  "reports",
  "jobs",
] as const;
export type Area = typeof AREAS[number];

/** One line of the doctor's. */
export interface Finding {
  area: Area;
  /** `fail`: alerts or reports are or will be lost, late or untold. `warn`: something to set right when there is time. */
  status: "ok" | "warn" | "fail";
  message: string;
  /** What to do. */
  remedy: string | null;
}

export const ok = (area: Area, message: string): Finding => ({ area, status: "ok", message, remedy: null });
export const warn = (area: Area, message: string, remedy: string | null): Finding => ({
  area,
  status: "warn",
  message,
  remedy,
});
export const fail = (area: Area, message: string, remedy: string | null): Finding => ({
  area,
  status: "fail",
  message,
  remedy,
});
