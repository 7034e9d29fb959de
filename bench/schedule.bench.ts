/** What judging schedules costs: 50,000 jobs with 500 distinct schedules in four zones are to take under 0.5 s of CPU. */
import { Cron } from "croner";
import {
  nextSlot,
  parseSchedule,
  previousSlot,
  slotsBetween,
  typicalIntervalMinutes,
} from "../supabase/functions/_shared/rules/schedule.ts";

const zones = ["GMT", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"];
const now = Date.parse("2026-11-01T06:07:11Z");
const texts = Array.from({ length: 500 }, (_, index) => {
  const minute = index % 60;
  const hour = (index * 7) % 24;
  const rest = ["* * * *", `${hour} * * *`, `${hour} * * ${index % 7}`, `${hour} ${1 + index % 28} * *`];
  return index % 5 === 0
    ? `*/${2 + index % 29} ${hour}-23 * * ${1 + index % 6}`
    : `${minute} ${rest[index % 4]}`;
});

function eachJob(count: number, judge: (text: string, zone: string, job: number) => void): void {
  for (let job = 0; job < count; job++) {
    judge(
      texts[job % texts.length] ?? "",
      zones[Math.floor(job / texts.length) % zones.length] ?? "GMT",
      job,
    );
  }
}

for (const [span, minutes] of [["15 minutes", 15], ["7 days", 7 * 1440]] as const) {
  Deno.bench(`50,000 jobs: parse, interval, slots of the last ${span}`, () => {
    eachJob(50_000, (text, timeZone, job) => {
      const schedule = parseSchedule(text);
      typicalIntervalMinutes(schedule);
      slotsBetween(schedule, { after: now - minutes * 60_000 - job % 977, until: now, timeZone, limit: 100 });
    });
  });
}

Deno.bench("50,000 jobs: next and previous slot", () => {
  eachJob(50_000, (text, zone, job) => {
    const schedule = parseSchedule(text);
    nextSlot(schedule, now + job, zone);
    previousSlot(schedule, now + job, zone);
  });
});

Deno.bench("500 jobs: next slot, ours", { group: "engine", baseline: true }, () => {
  eachJob(500, (text, zone, job) => void nextSlot(parseSchedule(text), now + job, zone));
});

const crons = new Map(
  zones.flatMap((zone) => texts.map((text) => [text + zone, new Cron(text, { timezone: zone })])),
);

Deno.bench("500 jobs: next slot, croner", { group: "engine" }, () => {
  eachJob(500, (text, zone, job) => void crons.get(text + zone)?.nextRun(new Date(now + job)));
});
