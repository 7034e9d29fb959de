/** Supabase's Management API, as far as the monitor reads it. */
import { z } from "zod";
import { AppError } from "../errors.ts";

/** Where the API is and who asks. */
export interface ManagementApi {
  url: string;
  token: string;
}

const edgeFunctions = z.array(z.object({
  slug: z.string(),
  name: z.string(),
  status: z.enum(["ACTIVE", "REMOVED", "THROTTLED"]),
  version: z.number().int(),
}));

/** A deployed edge function. */
export type EdgeFunction = z.infer<typeof edgeFunctions>[number];

const TIMEOUT_MS = 10_000;

/**
 * Lists a project's edge functions.
 *
 * @throws {AppError} `management_api` saying what the API answered; never the token.
 */
export async function listEdgeFunctions(
  api: ManagementApi,
  project: { name: string; ref: string },
): Promise<EdgeFunction[]> {
  const what = `list the edge functions of project "${project.name}"`;
  const response = await ask(
    `${api.url.replace(/\/+$/, "")}/v1/projects/${project.ref}/functions`,
    api.token,
    what,
  );
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    throw new AppError("management_api", `Cannot ${what}: ${explain(response.status)}`, {
      retryable: response.status === 429 || response.status >= 500,
    });
  }
  const parsed = edgeFunctions.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new AppError(
    "management_api",
    `Cannot ${what}: the Management API answered something else than a list`,
  );
}

async function ask(url: string, token: string, what: string): Promise<Response> {
  try {
    return await fetch(url, {
      headers: { authorization: `Bearer ${token}`, accept: "application/json" },
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    const why = error instanceof DOMException && error.name === "TimeoutError"
      ? "no answer in time"
      : "it cannot be reached";
    throw new AppError("management_api", `Cannot ${what}: the Management API: ${why}`, { retryable: true });
  }
}

function explain(status: number): string {
  switch (status) {
    case 401:
      return "the Management API refused the token; renew MANAGEMENT_API_TOKEN";
    case 403:
      return "the token may not see this project";
    case 404:
      return "the Management API does not know its ref; check monitored_projects.project_ref";
    case 429:
      return "too many requests to the Management API; it is tried again next time";
    default:
      return `the Management API answered ${status}`;
  }
}
