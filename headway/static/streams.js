// @ts-check
// Which tasks share which connection: one for all, up to a thousand of them, and one for each route of your own.

import { connect } from "./connection.js";

/** @import { ClientOptions, Source, Topic, Wishes } from "./types.js" */

const JOIN_MS = 50; // tasks asked for within this time begin with one request
const MOST_TASKS = 1000; // of one stream
const MOST_IN_URL = 50; // tasks; for more, or a longer URL, POST
const MOST_URL = 2000; // characters: some proxies cut at 2 KiB
const ID = /^[\w.:-]{1,128}$/; // such ids can stand in a URL as they are

/** @param {ClientOptions} options @param {Map<string, Topic>} topics @returns {Source} */
export function streams(options, topics) {
  /** @type {Set<ReturnType<typeof createStream>>} */
  const all = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  /** Give every topic a stream, and every stream the connection it should have. */
  function plan() {
    timer = undefined;
    const placed = new Set();
    for (const { wanted } of all) {
      for (const topic of wanted) topics.get(topic.key) === topic ? placed.add(topic) : wanted.delete(topic);
    }
    for (const topic of topics.values()) {
      const { url } = topic;
      if (topic.over || placed.has(topic)) continue;
      if (!url && !ID.test(topic.id)) {
        topic.end({ status: 404, code: "not_found", message: "No task has such an id." });
        continue;
      }
      let stream = [...all].find((each) => !url && !each.url && each.wanted.size < MOST_TASKS);
      if (!stream) all.add((stream = createStream(options, url)));
      stream.wanted.add(topic);
    }
    for (const stream of all) {
      if (!stream.refresh()) all.delete(stream);
    }
  }

  return {
    changed() {
      timer ??= setTimeout(plan, JOIN_MS);
    },
    renew(topic, onlyIfDoubtful) {
      for (const stream of all) {
        if (!topic || stream.wanted.has(topic)) stream.renew(onlyIfDoubtful);
      }
    },
    pause() {
      for (const stream of all) stream.pause();
    },
  };
}

/** One connection for many topics. To serve others a new one is made; the old one serves until that has opened.
 * @param {ClientOptions} options @param {string | null} url */
function createStream(options, url) {
  /** @type {Set<Topic>} */
  const wanted = new Set();
  /** @type {ReturnType<typeof open> | null} */
  let now = null;
  /** What shall take its place. @type {ReturnType<typeof open> | null} */
  let next = null;

  /** False when there is nothing to serve. */
  function refresh() {
    for (const topic of wanted) if (topic.over) wanted.delete(topic);
    if (!wanted.size) {
      now?.leave();
      next?.leave();
      now = next = null;
    } else if (!now) (now = open()).go();
    else if (now.open && differs(now.serves)) renew();
    return wanted.size > 0;
  }

  /** @param {Map<string, Topic>} serves */
  const differs = (serves) =>
    [...wanted].some((topic) => serves.get(topic.id) !== topic) ||
    [...serves.values()].some((topic) => !topic.over && !wanted.has(topic));

  function renew(onlyIfDoubtful = false) {
    if (!now?.open) now?.go();
    else if (!next && (!onlyIfDoubtful || now.doubtful)) (next = open()).go();
  }

  function replace() {
    now?.leave();
    now = next;
    next = null;
  }

  function open() {
    /** @type {Map<string, Topic>} */
    const serves = new Map();
    serve();
    const self = Object.assign(connect(options, /** @type {Wishes} */ ({ request, linked, heard, ended, refused })), {
      serves,
    });
    return self;

    function serve() {
      serves.clear();
      for (const topic of wanted) serves.set(topic.id, topic);
    }

    function request() {
      serve();
      return requestFor(url, [...wanted], options.baseUrl);
    }

    /** @type {Wishes["linked"]} */
    function linked(link, retryInMs) {
      const opened = link === "open";
      if (self === next && opened) replace();
      for (const [id, topic] of serves)
        if (self === now || now?.serves.get(id) !== topic) topic.linked(link, retryInMs);
      if (self === now && next && !opened) replace();
      if (opened) refresh();
    }

    /** @type {Wishes["heard"]} */
    function heard({ data, id }) {
      const event = eventOf(data, id);
      if (!event.type) return true; // not ours
      let whole = true;
      for (const topic of url || event.task == null ? serves.values() : [serves.get(event.task)]) {
        if (!topic || topic.over) continue;
        if (event.type === "ended") topic.end();
        else whole = topic.accept(event) && whole;
        if (topic.over) refresh();
      }
      return whole;
    }

    function ended() {
      for (const topic of serves.values()) topic.end();
      refresh();
    }

    /** @type {Wishes["refused"]} */
    function refused(error, named) {
      const served = [...serves.values()];
      const known = (/** @type {Topic} */ topic) => self === next && now?.serves.get(topic.id) === topic;
      let out = served.filter(({ id }) => !url && Array.isArray(named) && named.includes(id));
      if (!out.length) out = served.filter((topic) => !known(topic)); // what was served before may go on
      for (const topic of out.length ? out : served) topic.end(error);
      const again = self === now;
      if (!again) next = null;
      return refresh() && again;
    }
  }

  function pause() {
    if (next) replace();
    now?.leave();
  }

  return { wanted, url, refresh, renew, pause };
}

/** @param {string} data @param {string | null} id */
function eventOf(data, id) {
  try {
    return { ...JSON.parse(data), cursor: /(?:^|\/)(\d+-\d+)$/.exec(id ?? "")?.[1] ?? null };
  } catch {
    return {};
  }
}

/** @param {string | null} url @param {Topic[]} topics @returns {ReturnType<Wishes["request"]>} */
function requestFor(url, topics, baseUrl = "/headway") {
  const base = baseUrl.replace(/\/+$/, "");
  const [{ id, view }] = topics;
  if (topics.length === 1) {
    return {
      url: url ?? `${base}/tasks/${id}/events`,
      headers: view.cursor ? { "Last-Event-ID": view.cursor } : {},
    };
  }
  const asked = topics.map(({ id, view: { cursor } }) => `task=${id}${cursor ? `@${cursor}` : ""}`);
  const get = `${base}/events?${asked.join("&")}`;
  if (topics.length <= MOST_IN_URL && get.length <= MOST_URL) return { url: get };
  const body = JSON.stringify(Object.fromEntries(topics.map(({ id, view }) => [id, view.cursor])));
  return { url: `${base}/events`, method: "POST", body, headers: { "Content-Type": "application/json" } };
}
