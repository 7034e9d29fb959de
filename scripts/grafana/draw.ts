/** Draws a panel's result, roughly as Grafana would: enough to see whether a panel says what it should. */
import { fixedColour, type Panel } from "./dashboards.ts";
import { type Result, seriesOf } from "./result.ts";

/** What a panel is drawn into: pixels, and the time that is looked at. */
export interface Frame {
  width: number;
  height: number;
  from: Date;
  to: Date;
  /** Seconds of a point. */
  step: number;
}

const PALETTE = [
  "#73bf69",
  "#f2cc0c",
  "#8ab8ff",
  "#ff780a",
  "#f2495c",
  "#5794f2",
  "#b877d9",
  "#705da0",
  "#37872d",
  "#fade2a",
];
const NAMED: Readonly<Record<string, string>> = {
  green: "#73bf69",
  red: "#f2495c",
  orange: "#ff9830",
  purple: "#b877d9",
  blue: "#5794f2",
  yellow: "#fade2a",
};
/** Colours of the values of a status history: success, unknown, missed, failed. */
const STATUS_COLOURS = ["green", "purple", "orange", "red"];
/** Pixels left of a plot and below it. */
const LEFT = 64;
const BELOW = 18;

type Point = { at: Date; value: number | null };
type Line = { name: string; points: Point[] };

/** The inside of a panel as HTML. */
export function drawPanel(panel: Panel, result: Result, frame: Frame): string {
  if (result.rows.length === 0) return `<p class="none">No data</p>`;
  switch (panel.type) {
    case "timeseries":
      return drawLines(panel, seriesOf(result), frame);
    case "status-history":
      return drawHistory(seriesOf(result), frame);
    case "heatmap":
      return drawHeatmap(seriesOf(result), frame);
    case "stat":
    case "gauge":
      return drawNumber(panel, Number(result.rows[0]?.[0] ?? NaN), frame);
    case "piechart":
      return drawPie(panel, result, frame);
    case "barchart":
      return drawBars(panel, result, frame);
    case "table":
      return drawTable(result);
  }
}

function drawLines(panel: Panel, lines: Line[], frame: Frame): string {
  const { drawStyle, stacking } = panel.fieldConfig.defaults.custom ?? {};
  const bars = drawStyle === "bars";
  const legend = Math.min(lines.length, 6) * 15;
  const height = frame.height - BELOW - legend - 8;
  const stacked = stacking?.mode === "normal"
    ? stack(lines)
    : lines.map((line) => ({ ...line, floor: null }));
  const values = stacked.flatMap(({ points }) => points.flatMap(({ value }) => value ?? []));
  const [low, high] = rangeOf(values, panel.fieldConfig.defaults.min ?? (bars ? 0 : undefined));
  const y = (value: number) => 4 + height * (1 - (value - low) / (high - low));
  const x = (at: Date) => LEFT + (frame.width - LEFT - 8) * share(at, frame);
  const width = Math.max(
    1,
    (frame.width - LEFT) * frame.step * 850 / (frame.to.getTime() - frame.from.getTime()),
  );
  const shapes = stacked.map((line, index) => {
    const colour = colourOf(panel, line.name, index);
    const known = line.points.flatMap(({ at, value }, i) => value === null ? [] : [{ at, value, i }]);
    if (!bars) {
      return `<polyline fill="none" stroke="${colour}" stroke-width="1.6" points="${
        known.map(({ at, value }) => `${round(x(at))},${round(y(value))}`).join(" ")
      }"/>`;
    }
    return known.map(({ at, value, i }) => {
      const floor = y(line.floor?.[i] ?? 0);
      const left = Math.max(LEFT, x(at));
      return `<rect x="${round(left)}" y="${round(y(value))}" width="${
        round(Math.max(0, x(at) + width - left))
      }" height="${round(Math.max(0, floor - y(value)))}" fill="${colour}"/>`;
    }).join("");
  });
  const limits = (panel.fieldConfig.defaults.thresholds?.steps ?? []).filter(({ value }) =>
    value !== null && value > low && value < high
  ).map(({ value, color }) =>
    `<line x1="${LEFT}" x2="${frame.width - 8}" y1="${round(y(value ?? 0))}" y2="${
      round(y(value ?? 0))
    }" stroke="${NAMED[color] ?? color}" stroke-dasharray="5 4"/>`
  );
  const ticks = [low, (low + high) / 2, high].map((value) =>
    `<text x="${LEFT - 6}" y="${round(y(value)) + 4}" text-anchor="end">${
      escape(withUnit(value, panel))
    }</text>` +
    `<line x1="${LEFT}" x2="${frame.width - 8}" y1="${round(y(value))}" y2="${
      round(y(value))
    }" class="grid"/>`
  );
  const keys = lines.slice(0, 6).map(({ name, points }, index) =>
    `<text x="${LEFT + 14}" y="${frame.height - legend + 10 + 15 * index}">${escape(name)} · ${
      escape(withUnit(points.findLast(({ value }) => value !== null)?.value ?? NaN, panel))
    }</text><rect x="${LEFT}" y="${frame.height - legend + 4 + 15 * index}" width="10" height="4" fill="${
      colourOf(panel, name, index)
    }"/>`
  );
  return svg(frame, [...ticks, ...hours(frame, height + 4 + 14), ...shapes, ...limits, ...keys]);
}

/** Each line on top of those before it. */
function stack(lines: Line[]): (Line & { floor: (number | null)[] })[] {
  const heights = new Map<number, number>();
  return lines.map(({ name, points }) => {
    const floor: (number | null)[] = [];
    const raised = points.map(({ at, value }) => {
      const below = heights.get(at.getTime()) ?? 0;
      floor.push(below);
      heights.set(at.getTime(), below + (value ?? 0));
      return { at, value: value === null ? null : below + value };
    });
    return { name, points: raised, floor };
  });
}

function drawHistory(lines: Line[], frame: Frame): string {
  const left = 210;
  const row = (frame.height - BELOW) / Math.max(1, lines.length);
  const width = (frame.width - left) * frame.step * 920 / (frame.to.getTime() - frame.from.getTime());
  const cells = lines.map(({ name, points }, index) =>
    `<text x="${left - 8}" y="${round(row * (index + 0.5) + 4)}" text-anchor="end">${escape(name)}</text>` +
    points.map(({ at, value }) =>
      `<rect x="${round(left + (frame.width - left) * share(at, frame))}" y="${
        round(row * index + 1)
      }" width="${round(width)}" height="${round(row - 3)}" fill="${
        NAMED[STATUS_COLOURS[value ?? 1] ?? "purple"]
      }"/>`
    ).join("")
  );
  return svg(frame, [...cells, ...hours(frame, frame.height - 4, left)]);
}

function drawHeatmap(lines: Line[], frame: Frame): string {
  const row = (frame.height - BELOW) / lines.length;
  const most = Math.max(...lines.flatMap(({ points }) => points.map(({ value }) => value ?? 0)), 1);
  const width = (frame.width - LEFT) * frame.step * 1000 / (frame.to.getTime() - frame.from.getTime());
  const cells = lines.map(({ name, points }, index) => {
    const y = row * (lines.length - 1 - index);
    return `<text x="${LEFT - 6}" y="${round(y + row / 2 + 4)}" text-anchor="end">${escape(name)}</text>` +
      points.filter(({ value }) => (value ?? 0) > 0).map(({ at, value }) =>
        `<rect x="${round(LEFT + (frame.width - LEFT) * share(at, frame))}" y="${round(y)}" width="${
          round(width)
        }" height="${round(row - 1)}" fill="hsl(${
          round(240 - 240 * Math.sqrt((value ?? 0) / most))
        } 75% 55%)"/>`
      ).join("");
  });
  return svg(frame, [...cells, ...hours(frame, frame.height - 4)]);
}

function drawNumber(panel: Panel, value: number, frame: Frame): string {
  const colour = thresholdColour(panel, value);
  const text = `<text x="${frame.width / 2}" y="${
    frame.height / 2 + 14
  }" text-anchor="middle" style="font-size:34px;fill:${colour}">${escape(withUnit(value, panel))}</text>`;
  if (panel.type === "stat") return svg(frame, [text]);
  const part = Math.min(1, value / (panel.fieldConfig.defaults.max ?? 100));
  const radius = Math.min(frame.width / 2, frame.height) * 0.72;
  const arc = (until: number, stroke: string) => {
    const angle = Math.PI * (1 - until);
    const [cx, cy] = [frame.width / 2, frame.height * 0.82];
    return `<path d="M ${cx - radius} ${cy} A ${radius} ${radius} 0 0 1 ${
      round(cx + radius * Math.cos(angle))
    } ${round(cy - radius * Math.sin(angle))}" fill="none" stroke="${stroke}" stroke-width="18"/>`;
  };
  return svg(frame, [arc(1, "#2c3235"), arc(part, colour), text]);
}

function drawPie(panel: Panel, { rows }: Result, frame: Frame): string {
  const sum = rows.reduce((total, [, value]) => total + Number(value), 0);
  const radius = Math.min(frame.width * 0.25, frame.height * 0.42);
  const around = 2 * Math.PI * radius * 0.7;
  let before = 0;
  const parts = rows.map(([name, value], index) => {
    const part = Number(value) / sum;
    const ring = `<circle cx="${frame.width * 0.27}" cy="${frame.height / 2}" r="${
      radius * 0.7
    }" fill="none" stroke="${colourOf(panel, String(name), index)}" stroke-width="${
      radius * 0.55
    }" stroke-dasharray="${part * around} ${around}" stroke-dashoffset="${-before * around}"/>`;
    before += part;
    return `${ring}<text x="${frame.width * 0.56}" y="${26 + 18 * index}" style="fill:${
      colourOf(panel, String(name), index)
    }">${escape(`${name}: ${withUnit(Number(value), panel)} (${round(100 * part)} %)`)}</text>`;
  });
  return svg(frame, parts);
}

function drawBars(panel: Panel, { fields, rows }: Result, frame: Frame): string {
  const left = 210;
  const numbers = fields.slice(1);
  const most = Math.max(...rows.flatMap((row) => row.slice(1).map(Number)), 1);
  const row = (frame.height - 6) / Math.max(1, rows.length);
  const bars = rows.map(([name, ...values], index) =>
    `<text x="${left - 8}" y="${round(row * (index + 0.5) + 4)}" text-anchor="end">${
      escape(String(name))
    }</text>` +
    values.map((value, which) => {
      const width = (frame.width - left - 40) * Number(value) / most;
      const y = row * index + which * (row - 4) / values.length;
      return `<rect x="${left}" y="${round(y)}" width="${round(width)}" height="${
        round((row - 4) / values.length - 1)
      }" fill="${colourOf(panel, numbers[which]?.name ?? "", which)}"/>` +
        (Number(value) > 0
          ? `<text x="${round(left + width + 6)}" y="${round(y + 11)}">${value}</text>`
          : "");
    }).join("")
  );
  return svg(frame, bars);
}

function drawTable({ fields, rows }: Result): string {
  const head = fields.map(({ name }) => `<th>${escape(name)}</th>`).join("");
  const body = rows.slice(0, 60).map((row) =>
    `<tr>${
      row.map((value) => `<td class="${escape(String(value))}">${escape(cell(value))}</td>`).join("")
    }</tr>`
  );
  return `<div class="table"><table><thead><tr>${head}</tr></thead><tbody>${
    body.join("")
  }</tbody></table></div>`;
}

function cell(value: unknown): string {
  if (value === null) return "";
  if (value instanceof Date) return value.toISOString().slice(0, 16).replace("T", " ");
  return typeof value === "number" ? String(Math.round(value * 100) / 100) : String(value);
}

function svg({ width, height }: Frame, parts: string[]): string {
  return `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${parts.join("")}</svg>`;
}

function hours(frame: Frame, y: number, left = LEFT): string[] {
  return [0.1, 0.3, 0.5, 0.7, 0.9].map((part) => {
    const at = new Date(frame.from.getTime() + part * (frame.to.getTime() - frame.from.getTime()));
    return `<text x="${
      round(left + (frame.width - left) * part)
    }" y="${y}" text-anchor="middle" class="axis">${at.toISOString().slice(11, 16)}</text>`;
  });
}

function share(at: Date, { from, to }: Frame): number {
  return (at.getTime() - from.getTime()) / (to.getTime() - from.getTime());
}

function rangeOf(values: readonly number[], least?: number): [low: number, high: number] {
  const low = least ?? Math.min(...values);
  const high = Math.max(...values, low);
  return high === low ? [low - 1, high + 1] : [low, high];
}

function thresholdColour(panel: Panel, value: number): string {
  const steps = panel.fieldConfig.defaults.thresholds?.steps ?? [];
  const name = steps.findLast((step) => step.value === null || value >= step.value)?.color ?? "green";
  return NAMED[name] ?? name;
}

function colourOf(panel: Panel, name: string, index: number): string {
  const override = panel.fieldConfig.overrides.find(({ matcher }) => matcher.options === name);
  const fixed = override?.properties.find(({ id }) => id === "color")?.value;
  return NAMED[fixedColour.safeParse(fixed).data?.fixedColor ?? ""] ?? PALETTE[index % PALETTE.length] ??
    "#8ab8ff";
}

function withUnit(value: number, { fieldConfig: { defaults: { unit, decimals } } }: Panel): string {
  if (Number.isNaN(value)) return "–";
  const fixed = (number: number, digits = number % 1 === 0 ? 0 : number < 10 ? 2 : 1) =>
    String(Number(number.toFixed(decimals ?? digits)));
  const scaled = (steps: [number, string][]) => {
    const [size, name] = steps.find(([size]) => Math.abs(value) >= size) ?? [1, ""];
    return `${fixed(value / size, 1)}${name}`;
  };
  switch (unit) {
    case "s":
      return value < 60 ? `${fixed(value)} s` : scaled([[86400, " d"], [3600, " h"], [60, " min"]]);
    case "bytes":
      return scaled([[2 ** 30, " GiB"], [2 ** 20, " MiB"], [1024, " KiB"]]);
    case "percent":
      return `${fixed(value)} %`;
    case "currencyUSD":
      return `$${fixed(value)}`;
    default:
      return Math.abs(value) < 10_000 ? fixed(value) : scaled([[1e6, " M"], [1e3, " K"]]);
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Text as HTML. */
export function escape(text: string): string {
  return text.replace(
    /[&<>"]/g,
    (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign] ?? sign,
  );
}
