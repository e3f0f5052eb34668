// @ts-nocheck: see nodes.js; what pages use has types
// <headway-progress> draws one task. States come from headway.js, or are set by hand; none are made here.

import { formatCount, formatDuration, formatEta, isEnded, watch, words } from "./headway.js";
import { attrs, css, icon, look, maker, sheet, toneOf, write } from "./nodes.js";

/** All that is said. A text has {places} for values, or is a function of them. */
export const texts = {
  __proto__: null,
  task: "Task", // without a title or a name
  connecting: "Connecting…",
  queued: "Queued",
  scheduled: "Scheduled",
  running: "Running",
  retrying: "Waiting to retry",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  lost: "Lost",
  expired: "Expired",
  waiting: "Waiting",
  done: "Done",
  skipped: "Skipped",

  queuedHint: "Waiting for a worker",
  unconfirmed: "Sent, but not heard of yet",
  startsAt: "Starts at {time}",
  startsIn: "Starts in {time}",
  lostHint: "The worker stopped without a word. Nobody knows how far it got.",
  expiredHint: "It was not begun in time.",
  failedIn: "{label}: {message}",
  elapsed: "{time} elapsed",
  took: "took {time}",
  ran: "ran for {time}",
  left: "{time} left",
  usually: "usually {time}",
  attempt: "attempt {n}",
  attemptFailed: "attempt {n} failed",
  retryIn: "Retrying in {time}",
  retrySoon: "Retrying now",
  runs: "run {n}",
  percent: "{n}%",
  percentSaid: "{n} percent",
  step: "Step {n} of {of}: {label}",
  stage: "{label}: {status}",

  interrupted: "Live updates interrupted — reconnecting. {job}; showing progress as of {time} ago.",
  interruptedShort: "Reconnecting…",
  offline: "You are offline. {job}; showing progress as of {time} ago.",
  offlineShort: "Offline",
  source: "The server has lost touch with the workers — reconnecting. {job}; showing progress as of {time} ago.",
  sourceShort: "Reconnecting…",
  going: "Your job is still running",
  safe: "Your job is not affected",
  unreachable: "The server cannot be reached — trying again.",
  unreachableShort: "Connecting…",
  stalled: "No sign of life from the worker for {time}. It is not known whether the job still runs.",
  stalledShort: "Stalled",
  gap: "Some updates were missed while disconnected. What you see is up to date.",
  back: "Live updates are back.",
  unknown: "There is no such job, or its progress is no longer kept.",
  unknownShort: "Not found",
  unauthorized: "You are not signed in, or your access has run out.",
  unauthorizedShort: "No access",
  forbidden: "You may not see this job.",
  forbiddenShort: "No access",
  refused: "Live updates have stopped. {message}",
  refusedShort: "Stopped",

  reconnect: "Retry now",
  cancel: "Cancel",
  cancelling: "Cancelling…",
  notCancelled: "It could not be cancelled.",
  graph: "Graph",
  graphSaid: "Graph of the stages: {done} of {of} done",
  timeline: "Timeline",

  label: ({ label }) => label, // of a stage: translate by its key
  count: ({ stage }) => formatCount(stage),
  duration: ({ seconds }) => formatDuration(seconds),
  clock: ({ seconds }) => (seconds < 10 ? `${Math.floor(seconds)} ${words.units[0]}` : formatDuration(seconds)),
  range: ({ seconds }) => formatEta(seconds),
  event: () => "", // of an event of your own, by its name and data: what to show of it
};

// -- the page's frames and its clock -------------------------------------------------------------------------

const FRAME_MS = 8; // what drawing may take of a frame; the rest waits for the next: 500 elements stay smooth
const dirty = new Set(); // views to draw, the longest waiting first
const ticking = new Set(); // views that show a running clock
let frame = 0;
let clock = 0;

function drawDirty() {
  const until = performance.now() + FRAME_MS;
  for (const view of dirty) {
    dirty.delete(view);
    try {
      view.draw();
    } catch (error) {
      reportError(error); // what cannot be drawn must not hold up the others
    }
    if (performance.now() > until) break;
  }
  frame = dirty.size && requestAnimationFrame(drawDirty);
}

function later(view) {
  dirty.add(view);
  frame ||= requestAnimationFrame(drawDirty);
}

/** One timer for all elements of the page, and none while nobody looks or nothing runs. */
function wind() {
  const wanted = ticking.size > 0 && !document.hidden;
  if (wanted === clock > 0) return;
  clearInterval(clock);
  clock = wanted ? setInterval(() => ticking.forEach(later), 1000) : 0;
  if (wanted) ticking.forEach(later);
}

function tick(view, on) {
  ticking[on ? "add" : "delete"](view);
  wind();
}

globalThis.document?.addEventListener("visibilitychange", wind);

// -- a task --------------------------------------------------------------------------------------------------

const GRACE = 2; // seconds a lost connection has to come back before anyone is bothered
const GAP_SHOWN = 10; // seconds
const LEFT_EVERY = 3; // seconds: an estimate that flickers is no estimate
const SPEAK_EVERY = 1.5; // seconds; what happens in between is said together
const PERCENT_EVERY = 10; // seconds

const EMPTY = { status: "queued", confirmed: true, attempt: 1, stages: [], link: "open", server_live: true, clock_offset: 0 };
const NOTHING = { ...EMPTY, confirmed: false, link: "connecting" };
const REFUSALS = { unauthorized: "unauthorized", forbidden: "forbidden", not_found: "unknown", gone: "unknown" };
const SHOWN = {
  compact: ["header", "bar"],
  bar: ["header", "notice", "bar", "meta", "note", "event"],
  stepper: ["header", "notice", "meta", "note", "event", "stages"],
  full: ["header", "notice", "bar", "meta", "note", "event", "stages", "graph", "timeline"],
};

const wall = () => Date.now() / 1000;
const joined = (...parts) => parts.filter(Boolean).join(" · ");
const shareOf = (n, of) => (of > 0 ? Math.min(1, Math.max(0, n / of)) : null);

/** Draws a bar. One without a share claims no value, and moves while its status is running. */
function fill(bar, share, status, label, said) {
  look(bar, share === null && status === "running" ? "bar going" : "bar", status);
  attrs(bar, { "aria-label": label, "aria-valuetext": said, "aria-valuenow": share && Math.floor(share * 100) });
  css(bar.firstChild, "--p", `${share ?? 0}`);
}

function makeBar(make) {
  const bar = make("div", "bar", make("div", "fill"));
  attrs(bar, { role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 });
  return bar;
}

/** Keeps nodes per key, their `root` among the list's children in the items' order. */
function keyed(list, kept, items, build, draw) {
  items.forEach((item, i) => {
    if (!kept.has(item.key)) kept.set(item.key, build({}));
    const nodes = kept.get(item.key);
    if (list.children[i] !== nodes.root) list.insertBefore(nodes.root, list.children[i] ?? null);
    draw(nodes, item);
  });
  if (kept.size === items.length) return;
  const keys = new Set(items.map(({ key }) => key));
  for (const [key, { root }] of kept) if (!keys.has(key) && kept.delete(key)) root.remove();
}

class View {
  state = NOTHING;
  rows = new Map();
  lanes = new Map();
  left = { text: "", at: 0, seconds: 0 };
  cutAt = 0;
  gapAt = 0;
  mark = 0;
  markAt = 0;
  spokeAt = 0;
  unsaid = [];
  told = "";

  constructor(host, root) {
    Object.assign(this, { host, root });
  }

  /** Show this from the next frame on. */
  take(state) {
    const s = (this.state = { ...EMPTY, ...state });
    const cut = !s.server_live || ["reconnecting", "offline"].includes(s.link) || (s.link === "connecting" && s.confirmed);
    if (cut && !this.cutAt) setTimeout(later, GRACE * 1000, this);
    this.cutAt = cut ? this.cutAt || wall() : 0; // reckoned here: a hidden page does not draw
    this.gapAt = s.gap ? this.gapAt || wall() : 0;
    later(this);
  }

  /** The text of that name, its places filled. */
  t(name, values) {
    const text = this.host.texts[name] ?? name;
    if (typeof text === "function") return String(text({ ...values, locale: this.host.locale }) ?? "");
    return text.replace(/\{(\w+)\}/g, (_, place) => values?.[place] ?? "");
  }

  /** From then until then; without an end a clock, in whole seconds. */
  time(from, to) {
    return from == null ? "" : this.t(to ? "duration" : "clock", { seconds: Math.max(0, (to ?? this.now) - from) });
  }

  /** Until then, as the text `soon`; past it, `now`. */
  until(at, soon, now) {
    const seconds = Math.ceil(at - this.now);
    return seconds > 0 ? this.t(soon, { time: this.t(seconds > 90 ? "range" : "clock", { seconds }) }) : this.t(now);
  }

  label({ key, label }) {
    return this.t("label", { key, label: label ?? key });
  }

  build() {
    const { host } = this;
    const { variant } = host;
    const n = (this.n = { variant });
    const make = maker(n);
    const fold = (name, inside) => {
      make("details", name, make("summary", `${name}-summary`), inside).ontoggle = () => later(this);
    };
    make("div", "header", make("span", "title"), make("span", "status", icon(), make("span", "word")), make("button", "cancel"));
    make("div", "notice", icon(), make("span", "said"), make("button", "reconnect"));
    makeBar(make);
    make("div", "meta", make("span", "facts"), make("span", "remaining"));
    make("p", "note");
    make("p", "event");
    make("ol", "stages");
    fold("graph", make("div", "scroller", make("div", "canvas")));
    fold("timeline", make("ol", "lanes"));
    make("div", "base", ...SHOWN[variant].map((name) => n[name]), make("slot", "result"), make("p", "live"), make("p", "alert"));
    attrs(n.base, { role: "group", tabindex: -1 }); // takes the focus of a button that goes
    attrs(n.scroller, { role: "group", tabindex: 0 });
    attrs(n.canvas, { role: "img" });
    attrs(n.live, { role: "status", "aria-atomic": true });
    attrs(n.alert, { role: "alert" });
    attrs(n.result, { name: "result" });
    n.graph.open = true;
    n.reconnect.onclick = () => host.reconnect();
    n.cancel.onclick = () => host.cancelTask();
    this.root.replaceChildren(n.base);
  }

  draw() {
    const { state: s, host } = this;
    if (this.n?.variant !== host.variant) this.build();
    const { n } = this;
    const ended = isEnded(s);
    const known = s.confirmed || s.cursor != null || s.link === "open";
    const cut = (this.cut = this.cutAt > 0 && wall() - this.cutAt >= GRACE && !ended);
    const blind = s.link === "closed" && s.link_error && !ended;
    let notice = "";
    if (blind) notice = REFUSALS[s.link_error.code] ?? "refused";
    else if (cut) notice = s.link === "offline" ? "offline" : !known ? "unreachable" : s.server_live ? "interrupted" : "source";
    else if (s.stalled && !ended) notice = "stalled";
    else if (this.gapAt && wall() - this.gapAt < GAP_SHOWN && !ended) notice = "gap";
    const phase = (this.phase = blind || notice === "stalled" ? notice : known ? s.status : "connecting");
    this.now = (cut ? this.cutAt : wall()) + s.clock_offset; // a clock that went on would claim to know
    this.title = s.title ?? s.name ?? this.t("task");
    const at = s.stages.findIndex(({ status }) => status === "running");
    this.step = at < 0 ? "" : this.t("step", { n: at + 1, of: s.stages.length, label: this.label(s.stages[at]) });

    look(n.base, `base ${n.variant}${cut || blind ? " stale" : ""}`, phase);
    attrs(n.base, { "aria-label": this.title });
    this.drawHeader(phase, notice);
    this.drawFacts(phase, notice);
    if (n.stages.isConnected) {
      const build = (row) => this.buildRow(row);
      keyed(n.stages, this.rows, s.stages, build, (row, stage) => this.drawRow(row, stage));
    }
    if (n.timeline.isConnected) {
      this.drawTimeline();
      this.drawGraph();
    }
    this.hear(phase, notice);
    tick(this, !ended && !blind && s.status !== "lost");
  }
}
