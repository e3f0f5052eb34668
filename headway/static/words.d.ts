import type { Stage, State, Watched } from "./types.js";
/** @import { Stage, State, Watched } from "./types.js" */
export declare const words: {
    units: string[];
    few: string;
    about: (/** @type {string} */ time: string) => string;
    under: (/** @type {string} */ time: string) => string;
    over: string;
    of: (/** @type {string} */ current: string, /** @type {string} */ total: string) => string;
    count: (/** @type {number} */ n: number, /** @type {string} */ unit: string) => string;
};
/** "< 0.1 s", "0.4 s", "12 s", "3 min 05 s", "2 h 10 min"; "" for what is unknown. @param {number | null | undefined} seconds */
export declare function formatDuration(seconds: number | null | undefined): string;
/**
 * "a few seconds", "about 20 s", "about 3 min", and for a range "20–40 s". Of a state: the time left now, "" when
 * nobody can say, "taking longer than usual" when it is over what its running stages usually take.
 * @param {number | readonly [number, number] | State | Watched | null | undefined} what
 * @param {number} [now] unix seconds of the server's clock
 * @returns {string}
 */
export declare function formatEta(what: number | readonly [number, number] | State | Watched | null | undefined, now?: number): string;
/**
 * Seconds until the task's end: what the server says, else, once there is enough to go by, at the pace so far; null when
 * nobody can say.
 * @param {State} state @param {number} now
 */
export declare function secondsLeft({ remaining, progress, started_at, updated_at }: State, now: number): number | null;
/**
 * The stage at which an attempt after the first went on, when those before it in the plan were left out; null otherwise.
 * Of a graph, one that waits for none of the others is where it begins.
 * @param {Pick<State, "attempt" | "stages">} state @returns {Stage | null}
 */
export declare function resumedAt({ attempt, stages }: Pick<State, "attempt" | "stages">): Stage | null;
/** "211 of 340 chunks", "1,204 records", "3.5 of 8 seconds", "" where nothing is counted. @param {Partial<Stage>} stage */
export declare function formatCount({ current, total, unit }: Partial<Stage>): string;
