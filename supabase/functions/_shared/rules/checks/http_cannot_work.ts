/** A command whose HTTP call surely cannot work: its edge function was removed, the key in it has expired. */
import type { Check } from "./check.ts";

export const httpCannotWork: Check = {
  code: "http_cannot_work",
  evaluate({ warnings }) {
    const sure = warnings.find(({ weight }) => weight === "important");
    if (sure === undefined) return null;
    return { code: "http_cannot_work", gravity: "degraded", summary: sure.message, detail: {} };
  },
};
