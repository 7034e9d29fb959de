/** What rules cost whose input nobody bounds but we: a policy's tick over a storm, and hostile text to redact. */
import { redact } from "../supabase/functions/_shared/rules/redact.ts";
import { HOUR, NOON } from "../tests/support/facts.ts";
import { decideAt, policyIncident, policyView, silence, told } from "../tests/support/policy.ts";

for (const [count, baseline] of [[500, true], [5_000, false]] as const) {
  const incidents = Array.from(
    { length: count },
    (_, index) =>
      policyIncident({ id: `i${index}`, jobName: `job_${index}`, told: [told("a", NOON - 7 * HOUR)] }),
  );
  const silences = [silence({ projectName: "other" }), silence({ jobPattern: "job_4?" })];
  Deno.bench(`policy: ${count} open incidents with reminders due`, { group: "policy", baseline }, () => {
    decideAt(policyView({ incidents, silences }));
  });
}

for (const [length, baseline] of [[10_000, true], [100_000, false]] as const) {
  const worst = ["password ", "bearer ", "123456:", "/api/webhooks/", "postgres://a:", "eyJaaaaaaaa."]
    .map((piece) => piece.repeat(length / piece.length));
  Deno.bench(`redact: six hostile texts of ${length} characters`, { group: "redact", baseline }, () => {
    for (const text of worst) redact(text);
  });
}
