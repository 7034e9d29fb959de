/** What this process has taken so far. */
import process from "node:process";

/** CPU in milliseconds, and the most memory that was resident at once, in megabytes. */
export interface ProcessUsage {
  cpuMs: number;
  peakMb: number;
}

/**
 * Linux only: `getrusage`'s maximum is what the process that started this one had, where that was more; the peak of
 * /proc begins with this program.
 */
export function processUsage(): ProcessUsage {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  const peak = /VmHWM:\s+(\d+) kB/.exec(Deno.readTextFileSync("/proc/self/status"));
  return { cpuMs: (userCPUTime + systemCPUTime) / 1000, peakMb: Number(peak?.[1]) / 1024 };
}
