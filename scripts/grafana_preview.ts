/**
 * Draws every panel of the dashboards in `docs/grafana` from what its query answers, so that somebody can look at them
 * without Grafana: `deno run -A scripts/grafana_preview.ts [folder]`, one page a dashboard. Of a hub of its own with the demo
 * history, or with `--database <URL>` of a real one.
 */
import { parseArgs } from "node:util";
import postgres from "postgres";
import { testDatabase } from "../tests/support/postgres.ts";
import { type Dashboard, readDashboards } from "./grafana/dashboards.ts";
import { drawPanel, escape } from "./grafana/draw.ts";
import { intervalOf, secondsOf } from "./grafana/expand.ts";
import { readPanel, readVariables } from "./grafana/result.ts";
import { seedDemoHistory } from "./local/demo_history.ts";

/** Pixels of a column of the grid, of a row, and of a panel's title. */
const COLUMN = 62;
const ROW = 34;
const TITLE = 26;
const HOURS = 24;

const STYLE =
  `body{background:#111217;color:#ccccdc;font:12px system-ui,sans-serif;margin:12px;position:relative}
h1{font-size:17px;height:26px;margin:0 0 10px}section{position:absolute;background:#181b1f;border:1px solid #2c3235;border-radius:3px;box-sizing:border-box;padding:4px 8px;overflow:hidden}
h2{font-size:13px;margin:0;height:${
    TITLE - 4
  }px}svg text{fill:#ccccdc;font-size:11px}svg .axis{fill:#8e8e99}svg .grid{stroke:#2c3235}.none{color:#8e8e99;text-align:center}
table{border-collapse:collapse;width:100%;font-size:11px}th,td{text-align:left;padding:2px 6px;border-bottom:1px solid #2c3235;white-space:nowrap;max-width:420px;overflow:hidden;text-overflow:ellipsis}th{color:#8ab8ff}
.failed,.error,.critical{color:#f2495c}.missed,.warning,.important{color:#ff9830}.healthy,.ok{color:#73bf69}.unknown{color:#b877d9}`;

async function page(sql: postgres.Sql, dashboard: Dashboard): Promise<string> {
  const to = new Date();
  const period = { from: new Date(to.getTime() - HOURS * 3_600_000), to };
  const variables = await readVariables(sql, dashboard, period);
  const sections: string[] = [];
  for (const panel of dashboard.panels) {
    const { x, y, w, h } = panel.gridPos;
    const step = secondsOf(
      intervalOf(
        period,
        /,(\d+[hd])\)/.exec(panel.targets[0]?.rawSql ?? "")?.[1] ?? panel.interval,
        panel.maxDataPoints,
      ),
    );
    const frame = { ...period, step, width: w * COLUMN - 26, height: h * ROW - TITLE - 18 };
    const inside = await readPanel(sql, panel, period, variables).then(
      (result) => drawPanel(panel, result, frame),
      (error: Error) => `<p class="error">${escape(error.message)}</p>`,
    );
    const place = `left:${x * COLUMN}px;top:${y * ROW + 36}px;width:${w * COLUMN - 8}px;height:${
      h * ROW - 8
    }px`;
    sections.push(`<section style="${place}"><h2>${escape(panel.title)}</h2>${inside}</section>`);
  }
  const bottom = Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => y + h)) * ROW + 40;
  return `<!doctype html><meta charset="utf-8"><title>${
    escape(dashboard.title)
  }</title><style>${STYLE}</style>` +
    `<body style="width:${24 * COLUMN}px;height:${bottom}px"><h1>${escape(dashboard.title)}</h1>${
      sections.join("")
    }`;
}

async function writePages(sql: postgres.Sql, folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const { file, dashboard } of await readDashboards()) {
    const path = `${folder}/${file.replace(/\.json$/, ".html")}`;
    await Deno.writeTextFile(path, await page(sql, dashboard));
    // deno-lint-ignore no-console
    console.log(path);
  }
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    options: { database: { type: "string" } },
    allowPositionals: true,
  });
  const folder = positionals[0] ?? ".local/grafana";
  if (values.database !== undefined) {
    const sql = postgres(values.database, { max: 1 });
    await writePages(sql, folder).finally(() => sql.end());
  } else {
    await using db = await testDatabase("hub");
    await seedDemoHistory(db.sql);
    await writePages(db.sql, folder);
  }
}
