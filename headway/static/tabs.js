// @ts-check
// One connection for all tabs of a browser: one of them leads, asks the server and tells the others what it hears.
//
//     watch(id, { share: tabs, viewer: userId })
//
// Who leads is whoever holds a Web Lock: when that tab goes, the next one has it at once, and goes on by cursor. Tabs
// speak over a BroadcastChannel: of events and states, never of tokens. Where a browser has no locks (plain http to
// another machine) each tab has its own connection.

import { createTopic } from "./client.js";
import { seqOf } from "./fold.js";
import { streams } from "./streams.js";

/** @import { ClientOptions, LinkError, Link, Source, State, TaskEvent, Topic } from "./types.js" */

/**
 * What tabs say. `want`: all that a tab wants, with the cursors it has, or its whole states when a leader needs them.
 * `lead`: tell me what you want, and all you know of it.
 * @typedef {{from: string, to?: string, want?: Record<string, State | string | null>, renew?: boolean, lead?: boolean,
 *   id?: string, event?: TaskEvent, late?: boolean, link?: Link, retry_in_ms?: number | null,
 *   error?: LinkError | null}} Message
 */

const PROTOCOL = 1; // of what tabs say: those of different versions share nothing
const ANSWER_MS = 2000; // a leader that a visible tab hears nothing of for so long is frozen: another takes its place
const ASK_MS = 30_000; // between a tab's signs of life
const GONE_MS = 150_000; // of silence: timers of a hidden tab may come once a minute

/** @param {ClientOptions} options @param {Map<string, Topic>} topics @returns {Source} */
export function tabs(options, topics) {
  const { locks } = globalThis.navigator ?? {};
  if (!locks || !globalThis.BroadcastChannel) return streams(options, topics);

  const me = Math.random().toString(36).slice(2);
  const name = `headway ${PROTOCOL} ${options.baseUrl ?? "/headway"} ${options.viewer ?? ""}`;
  /** What this tab asks for itself: routes of the page's own, what the leader was refused. @type {Map<string, Topic>} */
  const alone = new Map();
  const own = streams(options, alone);
  /** @type {BroadcastChannel | null} */
  let channel = null;
  /** @type {ReturnType<typeof createLeader> | null} */
  let leader = null;
  let resign = () => {};
  let waiting = new AbortController();
  let asked = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let patience;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let rounds;

  const shared = () => [...topics.values()].filter(({ key, over }) => !over && !alone.has(key));

  /** Tell the other tabs. @param {Omit<Message, "from">} message */
  const post = (message) => channel?.postMessage({ from: me, ...message });

  /** Tell all tabs, or one; this one too. @param {Omit<Message, "from">} message */
  function tell(message) {
    if (message.to !== me) post(message);
    if (!message.to || message.to === me) hear({ from: me, ...message });
  }

  function start() {
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => hear(data);
    rounds = setInterval(ask, ASK_MS);
    queue();
  }

  function stop() {
    post({ want: {} });
    clearInterval(rounds);
    clearTimeout(patience);
    waiting.abort();
    resign();
    channel?.close();
    channel = null;
  }

  function queue() {
    waiting = new AbortController();
    hold({ signal: waiting.signal });
  }

  /** @param {LockOptions} how */
  function hold(how) {
    const mine = channel;
    /** @type {Promise<void>} */ (/** @type {unknown} */ (locks?.request(name, how, () => lead(mine)))).catch(
      (error) => {
        if (!mine || channel !== mine || how.signal?.aborted || error?.name !== "AbortError") return;
        resign(); // another tab has taken the lock: it thought this one frozen
        queue();
      },
    );
  }

  /** Lead until the promise is resolved. @param {BroadcastChannel | null} mine @returns {Promise<void> | void} */
  function lead(mine) {
    if (!channel || channel !== mine || leader) return;
    clearTimeout(patience);
    const led = (leader = createLeader(options, tell));
    post({ lead: true });
    ask(true);
    return new Promise((resolve) => {
      resign = () => {
        led.close();
        if (leader === led) leader = null;
        resolve();
      };
    });
  }

  /** A frozen leader cannot know: take its place. */
  function steal() {
    waiting.abort();
    waiting = new AbortController();
    hold({ steal: true });
  }

  /** Say what this tab wants, and wait for a sign of its leader. */
  function ask(whole = false, renew = false) {
    if (!channel) return;
    const want = Object.fromEntries(shared().map(({ id, view }) => [id, whole ? view : view.cursor]));
    if (leader) return leader.heed(me, want, renew);
    post({ want, renew });
    clearTimeout(patience);
    if (globalThis.document?.visibilityState !== "hidden") patience = setTimeout(steal, ANSWER_MS);
  }

  /** @param {Message} message */
  function hear({ from, to, want, renew, lead, id, event, late, link, retry_in_ms, error }) {
    if (to && to !== me) return;
    if (want) return void leader?.heed(from, want, renew);
    clearTimeout(patience);
    if (lead) return ask(true);
    const topic = topics.get(id ?? "");
    if (!topic || topic.over || alone.has(topic.key)) return;
    if (event && !(late && seqOf(topic.view.cursor) >= seqOf(event.cursor)) && !topic.accept(event)) ask();
    if (error && from !== me) {
      alone.set(topic.key, topic); // what another tab may not see, this one may
      own.changed();
    } else if (link === "closed") topic.end(error);
    else if (link) topic.linked(link, retry_in_ms);
    if (topic.over) changed();
  }

  function changed() {
    for (const [key, topic] of topics) if (topic.url) alone.set(key, topic);
    for (const [key, topic] of alone) if (topics.get(key) !== topic) alone.delete(key);
    own.changed();
    if (asked) return;
    asked = true;
    queueMicrotask(() => {
      asked = false;
      if (!shared().length) {
        if (channel) stop();
        return;
      }
      if (!channel) start();
      ask();
    });
  }

  return {
    changed,
    renew(topic, onlyIfDoubtful) {
      own.renew(topic, onlyIfDoubtful);
      if (!channel) return changed();
      if (leader) leader.renew(onlyIfDoubtful);
      else ask(false, !onlyIfDoubtful);
    },
    pause() {
      own.pause();
      if (channel) stop();
    },
  };
}

/**
 * What a tab does while it leads: for each task any tab wants, it watches and relays.
 * @param {ClientOptions} options @param {(message: Omit<Message, "from">) => void} tell
 */
function createLeader(options, tell) {
  /** @type {Map<string, Topic>} */
  const relays = new Map();
  /** @type {Map<string, {ids: Set<string>, at: number}>} */
  const wants = new Map();
  const source = streams(options, relays);

  const tie = (/** @type {Topic} */ { id, view: { link, retry_in_ms, link_error } }) => ({
    id,
    link,
    retry_in_ms,
    error: link_error,
  });

  /** @param {string} id @param {State | null} state */
  function relay(id, state) {
    const topic = createTopic(id, { initialState: state });
    let said = "";
    topic.hearers.add((event) => tell({ id, event }));
    topic.listeners.add(() => {
      if (relays.get(id) !== topic || said === (said = JSON.stringify(tie(topic)))) return;
      tell(tie(topic));
    });
    relays.set(id, topic);
    topic.linked("connecting");
  }

  /** Bring a tab to where this one is. @param {string} to @param {Topic} topic @param {string | null} had */
  function inform(to, topic, had) {
    const { id, view } = topic;
    const { cursor } = view;
    const [at, first, last] = [Date.now() / 1000 + view.clock_offset, seqOf(had) + 1, seqOf(cursor)];
    if (view.confirmed && (!had || last >= first)) {
      const gap = had ? { gap: { reason: "unknown", first, last } } : {};
      tell({
        to,
        id,
        late: cursor !== null && had !== null,
        event: { type: "snapshot", task: id, at, state: view, cursor, ...gap },
      });
    }
    if (!view.server_live) tell({ to, id, event: { type: "link", at, live: false } });
    tell({ to, ...tie(topic) });
  }

  function prune() {
    for (const [from, { at }] of wants) if (Date.now() - at > GONE_MS) wants.delete(from);
    for (const id of relays.keys()) if (![...wants.values()].some(({ ids }) => ids.has(id))) relays.delete(id);
    source.changed();
  }

  return {
    /** @param {string} from @param {Record<string, State | string | null>} want */
    heed(from, want, renew = false) {
      wants.set(from, { ids: new Set(Object.keys(want)), at: Date.now() });
      let lacking = false;
      for (const [id, known] of Object.entries(want)) {
        const topic = relays.get(id);
        const state = typeof known === "string" ? null : known;
        if (topic && !topic.view.link_error)
          inform(from, topic, typeof known === "string" ? known : (known?.cursor ?? null));
        else if (typeof known === "string" && !topic) lacking = true;
        else relay(id, state ?? topic?.view ?? null);
      }
      prune();
      if (lacking) tell({ to: from, lead: true });
      if (renew) source.renew();
    },
    renew: (/** @type {boolean | undefined} */ onlyIfDoubtful) => source.renew(null, onlyIfDoubtful),
    close() {
      relays.clear();
      source.pause();
      source.changed();
    },
  };
}
