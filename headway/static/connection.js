// @ts-check
// One event stream that comes back until it is left. Knows HTTP, and nothing of what the events mean.

import { readChunks } from "./sse.js";

/** @import { ClientOptions, LinkError, Wishes } from "./types.js" */

const HEARTBEAT_MS = 15_000; // until the server says its own
const MOST_RETRY_MS = 60_000; // of `retry:`
const MOST_RETRY_AFTER_MS = 600_000;
const PASSING = [408, 425, 429]; // and 5xx: worth another try
/** @type {Record<number, LinkError["code"]>} */
const CODES = { 200: "not_a_stream", 401: "unauthorized", 403: "forbidden", 404: "not_found", 410: "gone" };

/** @param {ClientOptions} options @param {Wishes} wishes */
export function connect({ token, headers, credentials, fetch, silenceMs, retry }, wishes) {
  const { minMs = 500, maxMs = 8000 } = retry ?? {};
  let signal = AbortSignal.abort();
  let leave = () => {};
  let open = false;
  let tried = false;
  let failures = 0; // since an event came
  let retryMs = 0;
  let heartbeatMs = HEARTBEAT_MS;
  let heardAt = 0;

  const silence = () => Math.abs(Date.now() - heardAt); // a clock set back proves nothing

  async function attempt(refused = false) {
    leave();
    const aborter = new AbortController();
    /** Of the silence, then of the next try. @type {ReturnType<typeof setTimeout>} */
    let timer;
    const mine = (signal = aborter.signal);
    leave = () => {
      clearTimeout(timer);
      aborter.abort();
      open = false;
    };

    heardAt = Date.now();
    listenForSilence();
    wishes.linked(tried ? "reconnecting" : "connecting");
    try {
      await ask();
    } catch {
      // The network, the function that gives the token, an event without end.
    }
    if (!mine.aborted) again();

    /** Timers of a hidden page run late, and after a sleep all at once: the clock decides. */
    function listenForSilence() {
      const left = (silenceMs ?? 3 * heartbeatMs) - silence();
      if (left > 0) timer = setTimeout(listenForSilence, left);
      else again();
    }

    function again(afterMs = retryMs) {
      leave();
      tried = true;
      const spread = Math.random() * Math.min(maxMs, minMs * 2 ** failures++);
      const delay = Math.round(afterMs + spread);
      timer = setTimeout(attempt, delay);
      wishes.linked(globalThis.navigator?.onLine === false ? "offline" : "reconnecting", delay);
    }

    async function ask() {
      const bearer = typeof token === "function" ? await token(refused) : token;
      if (mine.aborted) return;
      const { url, headers: more, ...request } = wishes.request();
      const response = await (fetch ?? globalThis.fetch)(url, {
        ...request,
        headers: {
          Accept: "text/event-stream",
          ...(bearer && { Authorization: `Bearer ${bearer}` }),
          ...headers,
          ...more,
        },
        credentials,
        cache: "no-store",
        signal: mine,
      });
      const { status, body } = response;
      const said = (/** @type {string} */ name) => response.headers.get(name) ?? "";
      if (mine.aborted) return;
      if (status === 200 && body && /^text\/event-stream\b/i.test(said("Content-Type"))) return listen(body);
      if (status === 204) {
        leave();
        wishes.ended();
      } else if (status === 401 && typeof token === "function" && !refused) attempt(true);
      else if (status >= 500 || PASSING.includes(status)) again(Math.max(retryMs, toMs(said("Retry-After"))));
      else {
        const problem = (status !== 200 && (await response.json().catch(() => null))) || {};
        if (mine.aborted) return;
        leave();
        const message = problem.detail ?? problem.title ?? `No event stream: HTTP ${status}`;
        if (wishes.refused({ status, code: CODES[status] ?? "refused", message }, problem.tasks)) attempt();
      }
    }

    /** @param {ReadableStream<Uint8Array>} body */
    async function listen(body) {
      for await (const said of readChunks(body)) {
        if (mine.aborted) return;
        heardAt = Date.now();
        if (!open) {
          open = tried = true;
          wishes.linked("open");
        }
        for (const each of said) {
          if (mine.aborted) return;
          if (each.type === "retry") retryMs = Math.min(Math.max(each.retry, minMs), MOST_RETRY_MS);
          if (each.type === "comment") {
            heartbeatMs = 1000 * +(/^heartbeat (.+)/.exec(each.comment)?.[1] ?? 0) || heartbeatMs;
            clearTimeout(timer);
            listenForSilence();
          }
          if (each.type !== "event") continue;
          failures = 0;
          if (!wishes.heard(each)) return; // it does not follow what was there before: come back by cursor
        }
      }
    }
  }

  return {
    /** Connect now, unless that is done or being tried. */
    go() {
      if (signal.aborted) attempt();
    },
    leave: () => leave(),
    get open() {
      return open;
    },
    /** Silent for two heartbeats: it may have died unnoticed. */
    get doubtful() {
      return silence() > 2 * heartbeatMs;
    },
  };
}

/** What `Retry-After` says: seconds, or a date. @param {string} said */
function toMs(said) {
  const ms = /^\d+$/.test(said) ? 1000 * +said : Date.parse(said) - Date.now();
  return Math.min(Math.max(ms || 0, 0), MOST_RETRY_AFTER_MS);
}
