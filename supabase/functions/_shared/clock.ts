/** Time as an argument, so that rules and tests can travel in it. */

/** Answers the present. */
export type Clock = () => Date;

/** The machine's clock. */
export const systemClock: Clock = () => new Date();
