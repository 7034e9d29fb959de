/** A strict fake of Supabase's Management API on loopback: refuses what the real one refuses. */

/** A deployed function, with what matters to a test. */
export interface FakeFunction {
  slug: string;
  status?: "ACTIVE" | "REMOVED" | "THROTTLED";
  version?: number;
}

/** The running fake. */
export interface FakeManagementApi extends AsyncDisposable {
  url: string;
  /** What the project with this ref has deployed. */
  deploy(ref: string, functions: readonly FakeFunction[]): void;
}

/** Starts it; only the given token is accepted. */
export function startManagementApi(options: { token: string }): FakeManagementApi {
  const deployed = new Map<string, readonly FakeFunction[]>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const ref = /^\/v1\/projects\/([a-z]{20})\/functions$/.exec(new URL(request.url).pathname)?.[1];
    if (request.headers.get("authorization") !== `Bearer ${options.token}`) {
      return Response.json({ message: "Unauthorized" }, { status: 401 });
    }
    const functions = ref === undefined ? undefined : deployed.get(ref);
    if (functions === undefined) return Response.json({ message: "Project not found" }, { status: 404 });
    return Response.json(functions.map(describe));
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    deploy: (ref, functions) => void deployed.set(ref, functions),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function describe({ slug, status = "ACTIVE", version = 1 }: FakeFunction) {
  const now = Date.parse("2026-11-01T00:00:00Z");
  return {
    id: crypto.randomUUID(),
    slug,
    name: slug,
    status,
    version,
    created_at: now,
    updated_at: now,
    verify_jwt: false,
  };
}
