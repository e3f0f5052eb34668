// @ts-check
// What a page watches: one topic per task, however many watch it, and the stores and iterators through which they do.

import { initialState, isEnded, reduce, seqOf } from "./fold.js";
import { streams } from "./streams.js";

/** @import { Client, ClientOptions, Link, LinkError, State, TaskEvent, TaskOptions, Topic, Watch, Watched } from "./types.js" */

const LINGER_MS = 1000; // a topic nobody watches is kept so long: frameworks unmount what they mount again at once
const CLOCKS_AGREE = 1; // second: a smaller difference is the network's

/** Call each; what one throws is the page's own business. @param {Iterable<(event: any) => void>} callbacks @param {any} [event] */
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
  /** @type {State} */
  let state = { ...initialState(id), ...seed };
  let over = isEnded(state);
  let telling = false;
  /** @type {Link} */
  let link = over ? "closed" : "idle";
  /** @type {number | null} */
  let retry_in_ms = null;
  /** @type {LinkError | null} */
  let link_error = null;
  let clock_offset = 0;
  /** @type {Watched | null} */
  let view = null;

  /** Tell listeners once of all that a chunk of the stream brings. */
  function changed() {
    view = null;
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
    users: 0,
    hearers: new Set(),
    listeners: new Set(),
    get over() {
      return over;
    },
    get state() {
      return state;
    },
    get view() {
      const connected = link === "open";
      const reconnecting = link === "reconnecting" || link === "offline";
      return (view ??= { ...state, link, connected, reconnecting, retry_in_ms, link_error, clock_offset });
    },
    accept(event) {
      const { type, cursor, at } = event;
      if (cursor && state.cursor && type !== "snapshot") {
        const step = seqOf(cursor) - seqOf(state.cursor);
        if (step > 1 || (step === 0 && cursor !== state.cursor)) return false;
        if (step < 1) return true;
      }
      const was = state;
      const offset = at - Date.now() / 1000;
      const moved = (type === "link" || type === "snapshot") && Math.abs(offset - clock_offset) > CLOCKS_AGREE;
      if (moved) clock_offset = offset;
      state = reduce(state, event);
      if (moved || state !== was) changed();
      call(topic.hearers, event);
      if (isEnded(state)) topic.end();
      return true;
    },
    linked(now, retryInMs = null) {
      if (over || (now === link && retryInMs === retry_in_ms)) return;
      link = now;
      retry_in_ms = retryInMs;
      changed();
    },
    end(error = null) {
      if (over) return;
      link_error = error;
      topic.linked("closed");
      over = true;
    },
    reopen() {
      over = isEnded(state);
      if (!over) link_error = null;
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

  /** Those who are watched have changed. A page out of sight keeps its connection; one that is put away must have none. */
  function changed() {
    const act = topics.size ? globalThis.addEventListener : globalThis.removeEventListener;
    for (const type of ["online", "pagehide", "pageshow", "resume", "visibilitychange"]) act?.(type, heed);
    source.changed();
  }

  /** @param {Topic} topic */
  function enter(topic) {
    topic.users++;
    if (topics.has(topic.key)) return;
    topics.set(topic.key, topic);
    topic.linked("connecting");
    changed();
  }

  /** @param {Topic} topic @param {number} afterMs */
  function leave(topic, afterMs) {
    topic.users--;
    setTimeout(() => {
      if (topic.users || topics.get(topic.key) !== topic) return;
      topics.delete(topic.key);
      topic.linked("idle");
      changed();
    }, afterMs);
  }

  /** @param {string} id @param {TaskOptions} [task] @returns {Watch} */
  function watch(id, task = {}) {
    const { signal, onEvent } = task;
    let topic = createTopic(id, task);
    const first = topic.view;
    const find = () => (topic = topics.get(topic.key) ?? topic);
    /** @type {Set<() => void>} */
    const held = new Set();
    /** What it was when it was closed. @type {Watched | null} */
    let closed = null;
    /** @type {Promise<Watched> | null} */
    let done = null;

    const tell = () => call(held);
    const hear = (/** @type {TaskEvent} */ event) => onEvent?.(event);
    const getSnapshot = () => closed ?? topic.view;
    find();

    function join() {
      find();
      topic.listeners.add(tell);
      topic.hearers.add(hear);
      enter(topic);
    }

    function part(afterMs = LINGER_MS) {
      topic.listeners.delete(tell);
      topic.hearers.delete(hear);
      leave(topic, afterMs);
    }

    /** @param {() => void} changed */
    function subscribe(changed) {
      const mine = () => changed(); // the same function may subscribe twice
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
      if (!isEnded(last)) throw signal?.reason ?? new DOMException("The watch was closed.", "AbortError");
      return last;
    }

    signal?.addEventListener("abort", close);
    if (signal?.aborted) close();

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
