/**
 * A hub with incidents, senders that are killed, and a network that fails: what becomes of every alert is counted from
 * what the vendors' fakes took, and compared with what the hub says.
 */
import type postgres from "postgres";
import { channels } from "../../supabase/functions/_shared/channels/mod.ts";
import type { ChannelName, RenderedMessage } from "../../supabase/functions/_shared/domain/delivery.ts";
import { type Random, seededRandom } from "../simulator/random.ts";
import { type SenderLine, type SenderOptions, sendOnce, type Step, STEPS } from "./crashing_sender.ts";
import {
  type Fault,
  FAULTS,
  type FaultyNetwork,
  type Passage,
  startFaultyNetwork,
} from "./faulty_network.ts";
import { REFUSING_HOST } from "./endpoint.ts";
import { testDatabase } from "./postgres.ts";

/** Columns of `alert_config` by the names that targets have. */
const COLUMNS: Readonly<Record<string, string>> = {
  webhookUrl: "webhook_url",
  botToken: "bot_token",
  chatId: "chat_id",
  apiKey: "api_key",
  account: "account",
  sender: "sender",
  recipients: "recipients",
};
/** What passes between two rounds: every lease and every wait for a retry is over. */
const ROUND = "65 minutes";
/** A waiting delivery is due again sooner than this only because a test let time pass. */
const SHORTEST_WAIT_MS = 30_000;
const INCIDENTS_A_ROUND = 3;

/** What {@link playCrashes} plays. */
export interface CrashPlan {
  seed: number;
  /** How many senders are to be killed at each step, at least. */
  killsAStep: number;
  channels: readonly ChannelName[];
  /** How many requests meet a fault, 0 to 1. */
  faults: number;
  /** How many connections are refused, 0 to 1. */
  refused: number;
  report?: (line: string) => void;
}

/** What came of it. */
export interface CrashReport {
  kills: Record<string, number>;
  faults: Record<string, number>;
  /** News of an incident: that it began, that it ended. */
  owed: number;
  /** News that reached at least one vendor. */
  arrived: number;
  /** News that was over before anybody was told, and that the hub cancelled with that reason. */
  overtaken: number;
  /** Messages that a vendor took more than once, by the reason. */
  duplicates: Record<string, number>;
  messages: number;
  requests: number;
  /** How deliveries ended. */
  states: Record<string, number>;
  /** News that is owed and never arrived. */
  lost: string[];
  /** Everything else that must not be. */
  violations: string[];
}

interface World {
  sql: postgres.Sql;
  databaseUrl: string;
  network: FaultyNetwork;
  random: Random;
  plan: CrashPlan;
  /** Told by the senders. */
  ledger: { sender: string; line: SenderLine }[];
  killed: Map<string, Step>;
  senders: number;
}

/** Kills senders until the plan is done, then lets one finish in peace, and judges. */
export async function playCrashes(plan: CrashPlan): Promise<CrashReport> {
  await using db = await testDatabase("hub");
  const network = await startFaultyNetwork();
  const random = seededRandom(plan.seed);
  const world: World = {
    ...{ sql: db.sql, databaseUrl: db.url, network, random, plan },
    ledger: [],
    killed: new Map(),
    senders: 0,
  };
  try {
    await addRows(world);
    await playRounds(world);
    await finishInPeace(world);
    return await judge(world);
  } finally {
    await network.close();
  }
}

async function playRounds(world: World): Promise<void> {
  const { plan, network, random } = world;
  network.choose = (channel) => {
    if (!random.chance(plan.faults)) return null;
    const fault = random.pick(FAULTS);
    // to a webhook every success is one
    return channel === "webhook" && fault === "200 as HTML" ? "502 as HTML" : fault;
  };
  const wanted = plan.killsAStep * STEPS.length;
  for (let round = 1; rarestKills(world) < plan.killsAStep; round++) {
    if (round > wanted * 4) throw new Error("Senders hardly ever reach the step at which they are to die");
    await beginIncidents(world);
    await endIncidents(world);
    await killTwo(world);
    await pass(world);
    if (round % 25 === 0) plan.report?.(`  ${world.killed.size} of ${wanted} or more`);
  }
}

function killsAt({ killed }: World, step: Step): number {
  return [...killed.values()].filter((one) => one === step).length;
}

function rarestKills(world: World): number {
  return Math.min(...STEPS.map((step) => killsAt(world, step)));
}

/** Two senders at once; a third runs to its end while they stand still, then they are killed. */
async function killTwo(world: World): Promise<void> {
  const rarest = STEPS.toSorted((a, b) => killsAt(world, a) - killsAt(world, b))[0] ?? "before deciding";
  const senders = [rarest, world.random.pick(STEPS)].map((step) => startSender(world, step));
  const stood = await Promise.all(senders.map(({ standing }) => standing));
  if (world.random.chance(0.5)) await runToItsEnd(world);
  await Promise.all(senders.map(async ({ name, child, step }, index) => {
    if (stood[index] === true) {
      child.kill("SIGKILL");
      world.killed.set(name, step);
    }
    await child.status;
  }));
  await Promise.all(senders.map(({ read }) => read));
}

function optionsOf({ databaseUrl, network, plan, random, senders }: World): SenderOptions {
  const secrets = Object.fromEntries(
    Object.values(channels).flatMap(({ api }) => api === null ? [] : [[api.variable, network.url]]),
  );
  return {
    ...{ sender: `sender ${senders}`, databaseUrl, secrets, refused: plan.refused },
    allowedHost: new URL(network.url).host,
    refusingHost: REFUSING_HOST,
    seed: random.whole(0, 2 ** 31),
  };
}

function startSender(world: World, step: Step) {
  world.senders++;
  const once = ["before deciding", "after deciding", "before claiming"].includes(step);
  const occurrence = once
    ? 1
    : step === "after claiming"
    ? world.random.whole(1, 2)
    : world.random.whole(1, 6);
  const options = { ...optionsOf(world), stopAt: { step, occurrence } };
  const name = options.sender;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--quiet",
      new URL("crashing_sender.ts", import.meta.url).href,
      JSON.stringify(options),
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const { promise: standing, resolve: stand } = Promise.withResolvers<boolean>();
  const onHeld = world.network.onHeld;
  world.network.onHeld = (sender) => sender === name ? stand(true) : onHeld(sender);
  const read = readLines(child.stdout, (line) => {
    world.ledger.push({ sender: name, line });
    if (line.told === "reached") stand(true);
  }).then(() => stand(false));
  return { name, child, step, standing, read };
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  tell: (line: SenderLine) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) tell(JSON.parse(line));
  }
}

async function runToItsEnd(world: World): Promise<void> {
  world.senders++;
  const options = optionsOf(world);
  await sendOnce(options, (line) => world.ledger.push({ sender: options.sender, line }));
}

/** Leases run out, waits end, dead channels get their next chance. */
async function pass({ sql, network }: World): Promise<void> {
  network.epoch++;
  await sql.unsafe(`
    update incidents set opened_at = opened_at - interval '${ROUND}', resolved_at = resolved_at - interval '${ROUND}';
    update alert_deliveries set created_at = created_at - interval '${ROUND}', sent_at = sent_at - interval '${ROUND}',
      admitted_at = admitted_at - interval '${ROUND}', settled_at = settled_at - interval '${ROUND}',
      next_attempt_at = next_attempt_at - interval '${ROUND}', leased_until = leased_until - interval '${ROUND}';
    update channel_state set since = since - interval '${ROUND}', last_success_at = last_success_at - interval '${ROUND}',
      last_failure_at = last_failure_at - interval '${ROUND}'`);
}

async function finishInPeace(world: World): Promise<void> {
  world.network.choose = () => null;
  world.plan = { ...world.plan, refused: 0 };
  for (let round = 0; round < 40; round++) {
    await runToItsEnd(world);
    await pass(world);
    const [left] = await world
      .sql`select 1 from alert_deliveries where state in ('due', 'unroutable') limit 1`;
    if (left === undefined) return;
  }
}

// --- what is told ---

async function addRows({ sql, network, plan }: World): Promise<void> {
  for (const channel of plan.channels) {
    const target = Object.entries(network.targets[channel]).map((
      [key, value],
    ) => [COLUMNS[key] ?? key, value]);
    const row = { channel, name: channel, repeat_minutes: 0, ...Object.fromEntries(target) };
    await sql`insert into alert_config ${sql(row)}`;
  }
}

/** Each in a project of its own, so that no two are told in one message. */
async function beginIncidents({ sql, random }: World): Promise<void> {
  for (let count = 0; count < INCIDENTS_A_ROUND; count++) {
    await sql`
      with incident as (
        insert into incidents (project_name, subject_kind, subject_id, code, severity, summary)
        values (${`project-${random.whole(1e9, 1e10)}`}, 'job', gen_random_uuid()::text, 'failed',
          ${random.pick(["critical", "important", "low"])}, 'the last run failed: ERROR: division by zero')
        returning id
      ), delivery as (
        insert into alert_deliveries (alert_config_id, channel, event, admitted_at)
        select id, channel, 'opened', null from alert_config returning id
      )
      insert into delivery_incidents (delivery_id, incident_id) select delivery.id, incident.id from delivery, incident`;
  }
}

/** Some of those that lasted until now, whether or not anybody was told of them yet. */
async function endIncidents({ sql, random }: World): Promise<void> {
  const open = await sql<{ id: string; fresh: boolean }[]>`
    select id, opened_at > now() - interval '1 minute' as fresh
    from incidents where subject_kind = 'job' and resolved_at is null order by opened_at, id`;
  for (const { id } of open.filter(({ fresh }) => random.chance(fresh ? 0.1 : 0.25))) {
    await sql`
      with ended as (
        update incidents set resolved_at = now(), resolution = 'recovered' where id = ${id}
      ), delivery as (
        insert into alert_deliveries (alert_config_id, channel, event, admitted_at)
        select id, channel, 'resolved', null from alert_config returning id
      )
      insert into delivery_incidents (delivery_id, incident_id) select id, ${id} from delivery`;
  }
}

// --- what came of it ---

interface Delivery {
  id: string;
  channel: ChannelName;
  event: string;
  state: string;
  lastError: string | null;
  followed: boolean;
  rendered: RenderedMessage | null;
  incidents: string[];
}

/** A message that a vendor took, and which one it was. */
interface Taken extends Passage {
  delivery: Delivery;
  /** The request for one of its parts; a message without parts is one. */
  part: string;
}

async function judge(world: World): Promise<CrashReport> {
  const deliveries = await readDeliveries(world);
  const requests = await requestsOf(deliveries, world);
  const violations: string[] = [];
  const taken: Taken[] = [];
  const known: Taken[] = [];
  for (const passage of world.network.passages) {
    const request = requests.get(`${passage.channel} ${passage.body}`);
    if (request !== undefined) known.push({ ...passage, ...request });
    if (!passage.accepted) continue;
    if (request !== undefined) taken.push({ ...passage, ...request });
    else violations.push(`${passage.channel} took what the hub does not have: ${passage.body.slice(0, 200)}`);
  }
  violations.push(...stateFaults(deliveries, taken), ...orderFaults(taken), ...leaseFaults(known));
  const { duplicates, unexplained } = explain(taken, world);
  const news = await judgeNews(deliveries, taken, world);
  return {
    kills: countBy([...world.killed.values()]),
    faults: countBy([
      ...world.network.passages.flatMap(({ fault }) => fault === "none" || fault === "held" ? [] : [fault]),
      ...world.ledger.flatMap(({ line }) => line.told === "refused" ? ["refused"] : []),
    ]),
    ...news,
    duplicates,
    messages: taken.length,
    requests: world.network.passages.length,
    states: countBy(deliveries.map(({ state }) => state)),
    violations: [...violations, ...unexplained],
  };
}

async function readDeliveries({ sql }: World): Promise<Delivery[]> {
  return await sql<Delivery[]>`
    select d.id, d.channel, d.event, d.state, d.last_error as "lastError", d.followed_at is not null as followed,
           d.rendered, array(select t.incident_id from delivery_incidents t where t.delivery_id = d.id) as incidents
    from alert_deliveries d`;
}

/** The bytes of every request that a stored message makes: what was sent must be among them. */
async function requestsOf(
  deliveries: readonly Delivery[],
  { network }: World,
): Promise<Map<string, { delivery: Delivery; part: string }>> {
  const requests = new Map<string, { delivery: Delivery; part: string }>();
  for (const delivery of deliveries) {
    const { rendered, channel: name, id } = delivery;
    if (rendered === null) continue;
    const channel = channels[name];
    const target = channel.target.parse(network.targets[name]);
    for (const part of channel.parts?.(rendered, target).map((part) => part.id) ?? [""]) {
      const options = { deliveryId: id, apiUrl: network.url, now: new Date() };
      const { body } = await channel.request(rendered, target, part === "" ? options : { ...options, part });
      requests.set(`${name} ${body}`, { delivery, part });
    }
  }
  return requests;
}

/** The hub says of each delivery what the vendors say. */
function stateFaults(deliveries: readonly Delivery[], taken: readonly Taken[]): string[] {
  const arrived = new Set(taken.map(({ delivery }) => delivery.id));
  return deliveries.flatMap((delivery) => {
    const { id, channel, event, state, lastError, followed, rendered } = delivery;
    const name = `${event} to ${channel} (${id})`;
    const nothingToSend = rendered !== null && rendered.body.dedup_keys instanceof Array &&
      rendered.body.dedup_keys.length === 0;
    if (state === "due" || state === "unroutable") return [`${name} is ${state} in the end: ${lastError}`];
    if (state === "sent" && !arrived.has(id) && !nothingToSend) {
      return [`${name} is "sent" and never arrived`];
    }
    if (state === "cancelled" && arrived.has(id)) return [`${name} is "cancelled" and arrived: ${lastError}`];
    if (state === "failed" && !followed) return [`${name} has failed and nothing followed: ${lastError}`];
    if (state !== "sent" && lastError === null) return [`${name} is ${state} without a reason`];
    return [];
  });
}

/** Nobody hears of a beginning after its end. */
function orderFaults(taken: readonly Taken[]): string[] {
  const over = new Set<string>();
  const faults: string[] = [];
  for (const { channel, delivery } of taken) {
    for (const incident of delivery.incidents) {
      const key = `${channel} ${incident}`;
      if (delivery.event === "resolved") over.add(key);
      else if (over.has(key)) faults.push(`${channel} was told of ${incident} after its end`);
    }
  }
  return faults;
}

/** While one sender has a delivery, no other sends it. */
function leaseFaults(requests: readonly Taken[]): string[] {
  const last = new Map<string, Taken>();
  return requests.flatMap((request) => {
    const key = keyOf(request);
    const before = last.get(key);
    last.set(key, request);
    const overlap = before !== undefined && before.epoch === request.epoch &&
      before.sender !== request.sender && request.at - before.at < SHORTEST_WAIT_MS;
    return overlap ? [`${before.sender} and ${request.sender} both sent ${key}`] : [];
  });
}

function keyOf({ delivery, part }: Taken): string {
  return `${delivery.event} to ${delivery.channel} (${delivery.id}) ${part}`;
}

/** Why a vendor took something twice: it was cut off from us, or we died before we had written down its answer. */
function explain(
  taken: readonly Taken[],
  { ledger, killed }: World,
): { duplicates: Record<string, number>; unexplained: string[] } {
  const settled = new Set(
    ledger.flatMap(({ sender, line }) =>
      line.told === "settled" && line.kind === "sent" ? [`${sender} ${line.id}`] : []
    ),
  );
  const causes: string[] = [];
  const unexplained: string[] = [];
  const cutShort = new Set<string>();
  for (const [key, same] of Map.groupBy(taken, keyOf)) {
    for (const earlier of same.slice(0, -1)) {
      const died = killed.has(earlier.sender);
      if (settled.has(`${earlier.sender} ${earlier.delivery.id}`)) {
        unexplained.push(`${key} was sent again although settled`);
      } else if (earlier.fault !== "held" && !earlier.answered) {
        causes.push(`no usable answer: ${earlier.fault}`);
      } else if (died) {
        causes.push(
          `killed before the vendor's answer was ${earlier.fault === "held" ? "there" : "settled"}`,
        );
        const target = `${earlier.sender} to ${earlier.channel}`;
        if (cutShort.has(target)) unexplained.push(`${target}: more than one message was sent again`);
        cutShort.add(target);
      } else unexplained.push(`${key} was sent twice for no reason, first by ${earlier.sender}`);
    }
  }
  return { duplicates: countBy(causes), unexplained };
}

/** News by news: it arrived somewhere, or it was over before it could be told, or it is lost. */
async function judgeNews(
  deliveries: readonly Delivery[],
  taken: readonly Taken[],
  { sql }: World,
): Promise<Pick<CrashReport, "owed" | "arrived" | "overtaken" | "lost">> {
  const heard = new Set(
    taken.flatMap(({ delivery }) => delivery.incidents.map((incident) => `${delivery.event} ${incident}`)),
  );
  const byNews = Map.groupBy(
    deliveries.flatMap((delivery) =>
      delivery.incidents.map((incident) => ({ delivery, news: `${delivery.event} ${incident}` }))
    ),
    ({ news }) => news,
  );
  const ended = await sql<{ id: string }[]>`select id from incidents where resolved_at is not null`;
  const over = new Set(ended.map(({ id }) => id));
  const report = { owed: byNews.size, arrived: 0, overtaken: 0, lost: [] as string[] };
  for (const [news, told] of byNews) {
    const incident = news.split(" ")[1] ?? "";
    const untold = over.has(incident) && !heard.has(`opened ${incident}`) &&
      told.every(({ delivery }) => delivery.state === "cancelled");
    if (heard.has(news)) report.arrived++;
    else if (untold) report.overtaken++;
    else {
      const states = told.map(({ delivery }) =>
        `${delivery.channel} ${delivery.state}: ${delivery.lastError}`
      );
      report.lost.push(`${news} (${states.join("; ")})`);
    }
  }
  return report;
}

function countBy(words: readonly (string | Fault)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
