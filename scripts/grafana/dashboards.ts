/** The dashboards of `docs/grafana`, as far as we rely on them. */
import { z } from "zod";

/** Types of panels that are drawn and checked. */
export const PANEL_TYPES = [
  "timeseries",
  "heatmap",
  "status-history",
  "stat",
  "gauge",
  "piechart",
  "barchart",
  "table",
] as const;

const datasource = z.strictObject({ type: z.string(), uid: z.string() });
const target = z.object({
  refId: z.string(),
  datasource,
  format: z.enum(["time_series", "table"]),
  rawQuery: z.literal(true),
  rawSql: z.string().min(1),
});
const threshold = z.object({ color: z.string(), value: z.number().nullable() });
/** The colour of a series, as an override says it. */
export const fixedColour = z.object({ mode: z.literal("fixed"), fixedColor: z.string() });

const panel = z.object({
  id: z.int().positive(),
  title: z.string().min(1),
  type: z.enum(PANEL_TYPES),
  datasource,
  gridPos: z.strictObject({ x: z.int(), y: z.int(), w: z.int(), h: z.int() }),
  interval: z.string().optional(),
  maxDataPoints: z.number().optional(),
  fieldConfig: z.object({
    defaults: z.object({
      unit: z.string().optional(),
      decimals: z.number().optional(),
      min: z.number().optional(),
      max: z.number().optional(),
      thresholds: z.object({ steps: z.array(threshold) }).optional(),
      custom: z.object({
        drawStyle: z.string().optional(),
        stacking: z.object({ mode: z.string() }).optional(),
      }).optional(),
    }),
    overrides: z.array(z.object({
      matcher: z.object({ id: z.literal("byName"), options: z.string() }),
      properties: z.array(z.object({ id: z.string(), value: z.unknown() })),
    })),
  }),
  targets: z.array(target).min(1),
});
const variable = z.object({
  name: z.string(),
  type: z.literal("query"),
  datasource,
  query: z.string(),
  multi: z.literal(true),
});
const dashboard = z.object({
  uid: z.string().max(40),
  title: z.string(),
  panels: z.array(panel).min(1),
  templating: z.object({ list: z.array(variable) }),
});

export type Panel = z.infer<typeof panel>;
export type Dashboard = z.infer<typeof dashboard>;

const FOLDER = new URL("../../docs/grafana/dashboards/", import.meta.url);

/**
 * Every dashboard, by its file's name.
 *
 * @throws {z.ZodError} where one is not what we rely on.
 */
export async function readDashboards(): Promise<{ file: string; dashboard: Dashboard }[]> {
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) =>
    name.endsWith(".json")
  );
  return await Promise.all(
    files.sort().map(async (file) => ({
      file,
      dashboard: dashboard.parse(JSON.parse(await Deno.readTextFile(new URL(file, FOLDER)))),
    })),
  );
}
