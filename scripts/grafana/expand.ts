/**
 * What Grafana makes of a query before it sends it: template variables, then intervals, then macros. As strict as its
 * PostgreSQL data source, so that what cannot work there fails here: the arguments of a macro end at the first bracket, and
 * a macro that it does not know is an error.
 *
 * Source: the behaviour of Grafana's PostgreSQL data source (macros) and of its variable format `sqlstring`.
 */

/** What a dashboard is looked at with. */
export interface View {
  from: Date;
  to: Date;
  /** Width of a point, as Grafana chose it: `15m`. */
  interval: string;
  /** Values that are chosen, by variable. */
  variables: Readonly<Record<string, readonly string[]>>;
}

/** Seconds of Grafana's units of time. */
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

/**
 * The query as it is sent.
 *
 * @throws {Error} where Grafana would refuse it.
 */
export function expandQuery(query: string, view: View): string {
  const chosen = query.replace(/\$\{(\w+):sqlstring\}/g, (_, name: string) => {
    const values = view.variables[name];
    if (values === undefined) throw new Error(`Nobody defines the variable "${name}"`);
    // of one that has nothing to choose from, Grafana leaves nothing
    return values.map((value) => `'${value.replaceAll("'", "''")}'`).join(",");
  });
  const plain = chosen
    .replaceAll("$__interval_ms", String(secondsOf(view.interval) * 1000))
    .replaceAll("$__interval", view.interval);
  const sent = plain.replace(/\$(\w+)\(([^)]*)\)/g, (_, name: string, text: string) => {
    return macro(name, text.split(",").map((argument) => argument.trim()), view);
  });
  const left = /\$\{?\w+|\$__\w+/.exec(sent);
  if (left !== null) throw new Error(`Nothing expands "${left[0]}"`);
  return sent;
}

function macro(name: string, [column = "", width = ""]: readonly string[], view: View): string {
  if (column === "") throw new Error(`Macro "${name}" needs a column`);
  switch (name) {
    case "__timeFilter":
      return `${column} BETWEEN '${view.from.toISOString()}' AND '${view.to.toISOString()}'`;
    case "__timeGroupAlias": {
      const seconds = secondsOf(width.replaceAll("'", ""));
      return `floor(extract(epoch from ${column})/${seconds})*${seconds} AS "time"`;
    }
    default:
      throw new Error(`Macro "${name}" is not one of those that the dashboards use`);
  }
}

/** Seconds of an interval such as `15m`. */
export function secondsOf(interval: string): number {
  const [, count, unit = ""] = /^(\d+)([a-z])$/.exec(interval) ?? [];
  const seconds = UNITS[unit];
  if (count === undefined || seconds === undefined) throw new Error(`"${interval}" is no interval`);
  return Number(count) * seconds;
}

/** The width of a point for so long a look, at least the panel's own: round ones, as Grafana's. */
export function intervalOf(view: { from: Date; to: Date }, least = "1m", points = 400): string {
  const wanted = Math.max((view.to.getTime() - view.from.getTime()) / 1000 / points, secondsOf(least));
  const round = ["1m", "2m", "5m", "10m", "15m", "30m", "1h", "2h", "3h", "6h", "12h", "1d"];
  return round.find((interval) => secondsOf(interval) >= wanted) ?? "7d";
}
