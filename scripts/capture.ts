/**
 * The README's picture, from what a terminal really showed. Needs `script` (util-linux), chromium, and the fonts
 * JetBrains Mono and Noto Color Emoji:
 *
 *     script -qec "stty cols 110; npx -y deno@2 task start --once --fresh" /tmp/start.ansi
 *     deno run -A scripts/capture.ts /tmp/start.ansi docs/images/first_check.png
 */
import { createScreen } from "./local/screen.ts";

/** What is shown: from the first step to the end of the first alert. Addresses and keys come later. */
const FIRST_LINE = /^✓ Postgres/;
const ALERT_LINE = /^ {2}│/;
/** Deno's own lines in between. */
const NOT_OURS = /^(?:\s*Download |Task )/;

const PROMPT = "\x1b[32m$\x1b[0m npx -y deno@2 task start";

/** Pixels of the page; the picture has two fifths more each way. */
const LINE_HEIGHT = 20;
const WIDTH = 880;
const BAR_HEIGHT = 36;
const PADDING = 18;
const SCALE = 1.4;

const CLASSES: Readonly<Record<string, string>> = {
  "1": "bold",
  "2": "dim",
  "31": "red",
  "32": "green",
  "33": "yellow",
  "34": "blue",
  "35": "magenta",
  "36": "cyan",
};

const STYLE = `
  * { margin: 0; box-sizing: border-box }
  body { width: ${WIDTH}px; background: #141925; color: #d5dbe8;
         font: 13px/${LINE_HEIGHT}px "JetBrains Mono", "Noto Color Emoji", monospace; font-variant-ligatures: none }
  header { height: ${BAR_HEIGHT}px; padding: 12px 16px; background: #1d2433; display: flex; gap: 8px }
  header i { width: 12px; height: 12px; border-radius: 50% }
  pre { padding: ${PADDING}px 22px; font: inherit }
  .bold { font-weight: 700; color: #fff } .dim { color: #7d879b }
  .red { color: #ff6b7a } .green { color: #5fd38d } .yellow { color: #f4c95d }
  .blue { color: #6ea8fe } .magenta { color: #d08bf0 } .cyan { color: #5ccfe6 }`;

/** Lines as they stand when all is over: what was drawn and taken back is gone. */
function standingLines(recorded: string): string[] {
  return recorded.split("\n").map((line) =>
    // deno-lint-ignore no-control-regex
    line.replace(/\r+$/, "").split(/\r|\x1b\[\d*[GKJ]/).at(-1) ?? ""
  );
}

function plain(line: string): string {
  // deno-lint-ignore no-control-regex
  return line.replace(/\x1b\[[\d;]*m/g, "");
}

function shownLines(recorded: string): string[] {
  const lines = standingLines(recorded);
  const first = lines.findIndex((line) => FIRST_LINE.test(plain(line)));
  const alert = lines.findIndex((line) => ALERT_LINE.test(plain(line)));
  const end = lines.findIndex((line, index) => index > alert && !ALERT_LINE.test(plain(line)));
  if (first < 0 || alert < first || end < 0) {
    throw new Error("Cannot find the first step and the first alert");
  }
  return [PROMPT, ...lines.slice(first, end).filter((line) => !NOT_OURS.test(plain(line)))];
}

/** A line with its colours as HTML. */
function toHtml(line: string): string {
  const escaped = line.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  let open = 0;
  // deno-lint-ignore no-control-regex
  const html = escaped.replace(/\x1b\[([\d;]*)m/g, (_, code: string) => {
    const style = CLASSES[code];
    if (style !== undefined) {
      open++;
      return `<span class="${style}">`;
    }
    const closing = "</span>".repeat(open);
    open = 0;
    return closing;
  });
  return html + "</span>".repeat(open);
}

function page(lines: readonly string[]): string {
  const lights = ["#ff5f57", "#febc2e", "#28c840"].map((colour) => `<i style="background:${colour}"></i>`);
  return `<!doctype html><meta charset="utf-8"><style>${STYLE}</style>` +
    `<header>${lights.join("")}</header><pre>${lines.map(toHtml).join("\n")}</pre>`;
}

async function takePicture(html: string, height: number, target: string): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "capture_" });
  try {
    await Deno.writeTextFile(`${dir}/page.html`, html);
    const quiet = ["quic", "background-networking", "component-update", "sync", "gpu"].map((what) =>
      `--disable-${what}`
    );
    const { success, stderr } = await new Deno.Command("chromium", {
      args: [
        "--headless",
        "--no-sandbox",
        "--no-first-run",
        "--hide-scrollbars",
        ...quiet,
        `--user-data-dir=${dir}/profile`,
        `--force-device-scale-factor=${SCALE}`,
        `--window-size=${WIDTH},${height}`,
        `--screenshot=${dir}/shot.png`,
        `file://${dir}/page.html`,
      ],
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) throw new Error(`Cannot take the picture: ${new TextDecoder().decode(stderr).slice(-500)}`);
    await Deno.copyFile(`${dir}/shot.png`, target);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

if (import.meta.main) {
  const [recording, target] = Deno.args;
  const screen = createScreen("stderr");
  if (recording === undefined || target === undefined) {
    screen.error("Give a recording of the terminal and the picture to write");
    Deno.exit(2);
  }
  const lines = shownLines(await Deno.readTextFile(recording));
  await takePicture(page(lines), BAR_HEIGHT + 2 * PADDING + lines.length * LINE_HEIGHT, target);
}
