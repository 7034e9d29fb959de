/** The part of the body that every function of the schedule takes. */
import { z } from "zod";

/** Who called, which project, and whether to only look. Strict: a misspelt field is an error, not ignored. */
export const triggerInput = z.strictObject({
  /** `cron` (answered at once), or what the caller calls itself. */
  source: z.string().regex(/^[\w .:-]{1,64}$/, "must be 1 to 64 letters, digits, spaces or . : _ -").default(
    "manual",
  ),
  /** Only this project. */
  project: z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, "must be lower case letters, digits, _ or -")
    .optional(),
  /** Look and answer, write and send nothing. */
  dry_run: z.boolean().default(false),
});
export type TriggerInput = z.infer<typeof triggerInput>;
