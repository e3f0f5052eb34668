// @ts-check
// Live progress of Celery tasks in a browser, or anywhere else that has `fetch`. The documentation is docs/browser.md.

import { createClient } from "./client.js";

export { createClient } from "./client.js";
export { fold, initialState, isEnded, reduce } from "./fold.js";
export { parseSSE } from "./sse.js";
export { formatCount, formatDuration, formatEta, resumedAt, words } from "./words.js";

/** @import { Client, Watch, WatchOptions } from "./types.js" */

const MOST_CLIENTS = 100; // remembered; a page that had more tokens than that opens a connection more

/** @type {Map<string, Client>} */
const clients = new Map();
/** @type {WeakMap<object, number>} */
const names = new WeakMap();

/** Functions are told apart by identity, all else by value. @param {string} _ @param {unknown} value */
function named(_, value) {
  if (typeof value !== "function") return value;
  if (!names.has(value)) names.set(value, Math.random());
  return names.get(value);
}

/**
 * Watch a task. Watches with equal connection options share one connection, however many tasks they are of.
 * @param {string} id @param {WatchOptions} [task] @returns {Watch}
 */
export function watch(id, task = {}) {
  const { url, initialState, signal, onEvent, ...options } = task;
  const key = JSON.stringify(options, named);
  let client = clients.get(key);
  if (!client) clients.set(key, (client = createClient(options)));
  if (clients.size > MOST_CLIENTS) clients.delete(/** @type {string} */ (clients.keys().next().value));
  return client.watch(id, task);
}
