// @ts-check
// What a page watches: one topic per task, however many watch it, and the stores and iterators through which they do.

import { initialState, isEnded, reduce, seqOf } from "./fold.js";
import { streams } from "./streams.js";

/** @import { Client, ClientOptions, TaskEvent, TaskOptions, Topic, Watch, Watched } from "./types.js" */

const LINGER_MS = 1000; // a topic nobody watches is kept so long: frameworks unmount what they mount again at once
const CLOCKS_AGREE = 1; // second: a smaller difference is the network's

/** Call each; what one throws is the page's own business.
 * @param {Iterable<(event: any) => void>} callbacks @param {any} [event] */
function call(callbacks, event) {
  for (const callback of [...callbacks]) {
    try {
      callback(event);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/** One task as this page holds it. @param {string} id @param {TaskOptions} [options] @returns {Topic} */
export function createTopic(id, { url, initialState: seed } = {}) {
  const untied = { connected: false, reconnecting: false, retry_in_ms: null, link_error: null, clock_offset: 0 };
  /** @type {Watched} */
  let view = { ...initialState(id), ...seed, ...untied, link: "idle" };
  if (isEnded(view)) view.link = "closed";
  let telling = false;

  /** Tell listeners once of all that a chunk of the stream brings. @param {Partial<Watched>} now */
  function set(now) {
    view = { ...view, ...now };
    if (telling) return;
    telling = true;
    queueMicrotask(() => {
      telling = false;
      call(topic.listeners);
    });
  }

  /** @type {Topic} */
  const topic = {
    key: url ? `@${url}` : id, // no id has an @
    id,
    url: url ?? null,
    hearers: new Set(),
    listeners: new Set(),
    get view() {
      return view;
    },
    get over() {
      return view.link === "closed";
    },
    accept(event) {
      const { type, cursor, at } = event;
      if (cursor && view.cursor && type !== "snapshot") {
        const step = seqOf(cursor) - seqOf(view.cursor);
        if (step > 1 || (step === 0 && cursor !== view.cursor)) return false;
        if (step < 1) return true;
      }
      const next = reduce(view, event);
      if (next !== view) set(next);
      const clock_offset = at - Date.now() / 1000; // of what the server stamps as it sends
      const moved = Math.abs(clock_offset - view.clock_offset) > CLOCKS_AGREE;
      if (moved && (type === "link" || type === "snapshot")) set({ clock_offset });
      call(topic.hearers, event);
      if (isEnded(view)) topic.end();
      return true;
    },
    linked(link, retry_in_ms = null) {
      if (topic.over || (link === view.link && retry_in_ms === view.retry_in_ms)) return;
      const reconnecting = link === "reconnecting" || link === "offline";
      set({ link, connected: link === "open", reconnecting, retry_in_ms });
    },
    end(link_error = null) {
      if (!topic.over) set({ link_error });
      topic.linked("closed");
    },
    reopen() {
      if (topic.over && !isEnded(view)) set({ link: "idle", link_error: null });
    },
  };
  return topic;
}

/**
 * Watches that share one connection. `share` may bring another way to come by events.
 * @param {ClientOptions} [options] @returns {Client}
 */
export function createClient(options = {}) {
  /** @type {Map<string, Topic>} */
  const topics = new Map();
  const source = (options.share ?? streams)(options, topics);

  /** What happens to the page. @param {any} event */
  function heed({ type, persisted }) {
    if (type === "pagehide") source.pause();
    else if (type === "online" || persisted) source.renew();
    else if (type !== "pageshow" && globalThis.document?.visibilityState !== "hidden") source.renew(null, true);
  }

  /** Other tasks are watched than before. A page out of sight keeps its connection, one that is put away has none. */
  function changed() {
    const act = topics.size ? globalThis.addEventListener : globalThis.removeEventListener;
    for (const type of ["online", "pagehide", "pageshow", "resume", "visibilitychange"]) act?.(type, heed);
    source.changed();
  }

  /** @param {string} id @param {TaskOptions} [task] @returns {Watch} */
  function watch(id, task = {}) {
    const { signal, onEvent } = task;
    let topic = createTopic(id, task);
    const first = topic.view;
    const find = () => (topic = topics.get(topic.key) ?? topic);
    find();
    /** @type {Set<() => void>} */
    const held = new Set();
    /** What it was when it was closed. @type {Watched | null} */
    let closed = null;
    /** @type {Promise<Watched> | null} */
    let done = null;

    const tell = () => call(held);
    const hear = (/** @type {TaskEvent} */ event) => onEvent?.(event);
    const getSnapshot = () => closed ?? topic.view;

    function join() {
      find();
      topic.listeners.add(tell);
      topic.hearers.add(hear);
      signal?.addEventListener("abort", close);
      if (topics.has(topic.key)) return;
      topics.set(topic.key, topic);
      topic.linked("connecting");
      changed();
    }

    function part(afterMs = LINGER_MS) {
      const left = topic;
      left.listeners.delete(tell);
      left.hearers.delete(hear);
      signal?.removeEventListener("abort", close);
      setTimeout(() => {
        if (left.listeners.size || topics.get(left.key) !== left) return;
        topics.delete(left.key);
        left.linked("idle");
        changed();
      }, afterMs);
    }

    /** @param {() => void} told */
    function subscribe(told) {
      if (signal?.aborted) close();
      const mine = () => told(); // the same function may subscribe twice
      if (held.add(mine).size === 1 && !closed) join();
      return () => {
        if (held.delete(mine) && !held.size && !closed) part();
      };
    }

    function close() {
      if (closed) return;
      closed = { ...topic.view, link: "closed", connected: false, reconnecting: false, retry_in_ms: null };
      if (held.size) part(0);
      tell();
    }

    async function* states() {
      /** @type {Watched | null} */
      let last = null;
      let wake = () => {};
      const release = subscribe(() => wake());
      try {
        while (last !== getSnapshot() || !(closed || topic.over)) {
          if (last !== getSnapshot()) yield (last = getSnapshot());
          else await new Promise((/** @type {(_: void) => void} */ resolve) => (wake = resolve));
        }
        if (last?.link_error) throw Object.assign(new Error(last.link_error.message), { link_error: last.link_error });
      } finally {
        release();
      }
    }

    async function end() {
      let last = getSnapshot();
      for await (last of states());
      if (!isEnded(last)) throw signal?.reason ?? new DOMException("closed", "AbortError");
      return last;
    }

    return {
      subscribe,
      getSnapshot,
      getServerSnapshot: () => first,
      close,
      reconnect() {
        const was = closed;
        closed = done = null;
        topic.reopen();
        if (was && held.size) join();
        source.changed();
        source.renew(topic);
      },
      get done() {
        return (done ??= end());
      },
      [Symbol.asyncIterator]: states,
    };
  }

  return {
    watch,
    close() {
      for (const topic of topics.values()) topic.end();
      topics.clear();
      changed();
    },
  };
}
