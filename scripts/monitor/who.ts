/** Who sits at the keyboard, for what is kept under a person's name. */
import { userInfo } from "node:os";
import { MonitorError } from "./errors.ts";

/** The name that was given, or else the operating system's user. */
export function whoActs(given: string | undefined): string {
  const name = (given ?? systemUser()).trim();
  if (name !== "") return name;
  throw new MonitorError("usage", "Nobody can be named as the one who does this: say who with --by");
}

function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    // a container's user may have no name
    return Deno.env.get("USER") ?? Deno.env.get("USERNAME") ?? "";
  }
}
