export { createClient } from "./client.js";
export { fold, initialState, isEnded, reduce } from "./fold.js";
export { parseSSE } from "./sse.js";
export { formatCount, formatDuration, formatEta, resumedAt, words } from "./words.js";
import type { Watch, WatchOptions } from "./types.js";
/**
 * Watch a task. Watches with equal connection options share one connection, however many tasks they are of.
 * @param {string} id @param {WatchOptions} [task] @returns {Watch}
 */
export declare function watch(id: string, task?: WatchOptions): Watch;
