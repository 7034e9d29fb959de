/** Schedules in plain English: what the sets of a schedule are, whatever they were written as. */
import type { CronSchedule, Schedule } from "./model.ts";
import { inWords, numbersInWords, runInWords, runsOf } from "./words.ts";

const dayNames = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const monthNames = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/** Up to so many times of day are listed one by one. */
const maxListedTimes = 6;

/** A short sentence without a full stop: `at 09:00 on Monday to Friday`. The zone is left to the caller. */
export function describeSchedule(schedule: Schedule): string {
  switch (schedule.kind) {
    case "cron":
      return describeCron(schedule);
    case "interval":
      return describeInterval(schedule.seconds);
    case "reboot":
      return "once, when the server starts";
    case "invalid":
      return `never: ${schedule.reason}`;
  }
}

function describeInterval(seconds: number): string {
  const [size, unit] = seconds % 3600 === 0
    ? [3600, "hour"]
    : seconds % 60 === 0
    ? [60, "minute"]
    : [1, "second"];
  return seconds === size ? `every ${unit}` : `every ${seconds / size} ${unit}s`;
}

function describeCron(cron: CronSchedule): string {
  if (cron.warnings.some((warning) => warning.code === "never_fires")) return "never";
  const times = timesInWords(cron.minutes, cron.hours);
  return [times.text, daysInWords(cron, times.isListed ? "every day" : "")].filter((part) => part !== "")
    .join(" ");
}

/** Listed times want a day beside them: `at 09:00 every day`. */
function timesInWords(
  minutes: readonly number[],
  hours: readonly number[],
): { text: string; isListed: boolean } {
  const isListed = hours.length < 24 && minutes.length * hours.length <= maxListedTimes &&
    !isEveryNthHour(minutes, hours);
  if (!isListed) {
    return { text: hours.length === 24 ? minutesInWords(minutes) : stretchInWords(minutes, hours), isListed };
  }
  return {
    text: `at ${inWords(hours.flatMap((hour) => minutes.map((minute) => clock(hour, minute))))}`,
    isListed,
  };
}

function isEveryNthHour(minutes: readonly number[], hours: readonly number[]): boolean {
  return minutes.length === 1 && hours.length > 2 && hours[0] === 0 && wholeStep(hours, 24) !== null;
}

/** Minutes of every hour. */
function minutesInWords(minutes: readonly number[]): string {
  if (minutes.length === 1 && minutes[0] === 0) return "every hour";
  return everyNthMinute(minutes) ?? `at ${counted("minute", minutes)} of every hour`;
}

/** Minutes of some hours. */
function stretchInWords(minutes: readonly number[], hours: readonly number[]): string {
  const [firstMinute = 0] = minutes;
  const [firstHour = 0] = hours;
  if (isEveryNthHour(minutes, hours)) {
    return `every ${24 / hours.length} hours${firstMinute === 0 ? "" : ` from ${clock(0, firstMinute)}`}`;
  }
  const every = minutes.length === 1 ? "every hour" : everyNthMinute(minutes);
  if (every !== null && runsOf(hours).length === 1) {
    return `${every} from ${clock(firstHour, firstMinute)} to ${
      clock(hours.at(-1) ?? 0, minutes.at(-1) ?? 0)
    }`;
  }
  const hourText = counted("hour", hours);
  if (every !== null && minutes.length > 1) return `${every} in ${hourText}`;
  return `at ${counted("minute", minutes)} of ${hourText}`;
}

function everyNthMinute(minutes: readonly number[]): string | null {
  const step = wholeStep(minutes, 60);
  if (step === null || minutes.length === 1 || minutes[0] !== 0) return null;
  return step === 1 ? "every minute" : `every ${step} minutes`;
}

/** The step of numbers that go round evenly, such as 0, 15, 30, 45 of 60; one number steps by all; else `null`. */
function wholeStep(values: readonly number[], size: number): number | null {
  const step = size / values.length;
  if (!Number.isInteger(step)) return null;
  return values.every((value, index) => value === (values[0] ?? 0) + index * step) ? step : null;
}

function daysInWords(cron: CronSchedule, everyDay: string): string {
  const { daysOfMonth, daysOfWeek, months } = cron;
  const isAnd = cron.daysCombine === "and";
  const monthText = inWords(
    runsOf(months).flatMap((run) => runInWords(run, (month) => monthNames[month - 1] ?? "")),
  );
  const inMonths = months.length === 12 ? "" : `in ${monthText}`;
  const dates = datesInWords(daysOfMonth, cron.lastDayOfMonth);
  const weekdays = weekdaysInWords(daysOfWeek);
  const anyDate = daysOfMonth.length === 31;
  const anyWeekday = daysOfWeek.length === 7;
  if (isAnd ? anyDate && anyWeekday : anyDate || anyWeekday) return [everyDay, inMonths].join(" ").trim();
  if (isAnd ? anyDate : dates === "") return `on ${weekdays} ${inMonths}`.trimEnd();
  if (isAnd ? anyWeekday : weekdays === "") {
    return `on ${dates} of ${inMonths === "" ? "the month" : monthText}`;
  }
  const both = isAnd ? `if it is ${weekdays.replace(" and ", " or ")}` : `or on ${weekdays}`;
  return `on ${dates} of the month ${both}${inMonths && `, ${inMonths}`}`;
}

function datesInWords(daysOfMonth: readonly number[], lastDayOfMonth: boolean): string {
  const days = daysOfMonth.length > 0 ? [counted("day", daysOfMonth)] : [];
  return inWords(lastDayOfMonth ? [...days, "the last day"] : days);
}

/** The week begins with Monday. */
function weekdaysInWords(daysOfWeek: readonly number[]): string {
  const fromMonday = daysOfWeek.map((day) => day === 0 ? 7 : day).sort((a, b) => a - b);
  return inWords(runsOf(fromMonday).flatMap((run) => runInWords(run, (day) => dayNames[day] ?? "")));
}

function counted(noun: string, values: readonly number[]): string {
  return `${noun}${values.length === 1 ? "" : "s"} ${numbersInWords(values)}`;
}

function clock(hour: number, minute: number): string {
  return `${String(hour).padStart(2, "0")}:${String(minute).padStart(2, "0")}`;
}
