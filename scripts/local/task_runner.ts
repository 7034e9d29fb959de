/** How a person runs this project's tasks on this machine. */

/** `deno task`, or the same by npx where Deno came from npm and is on no path. */
export function taskRunner(): string {
  return Deno.execPath().includes("node_modules") ? "npx -y deno@2 task" : "deno task";
}
