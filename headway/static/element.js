// @ts-check
// <headway-progress> draws one task. States come from headway.js, or are set by hand; none are made here.

import { formatCount, formatDuration, formatEta, isEnded, watch, words } from "./headway.js";
import { attrs, css, icon, look, maker, sheet, toneOf, write } from "./nodes.js";
import { resumedAt, secondsLeft } from "./words.js";

/** @import { Make, Nodes } from "./nodes.js" */
/** @import { Stage, Token, Watch } from "./types.js" */

// -- words ---------------------------------------------------------------------------------------------------

/** @typedef {Record<string, string | ((values: any) => unknown)>} Texts */

/** All that is said. A text has {places} for values, or is a function of them. @type {Texts} */
export const texts = {
  // @ts-expect-error: a status may be called "constructor", as far as this page knows
  __proto__: null,
  task: "Task", // without a title or a name
  connecting: "Connecting…",
  queued: "Queued",
  scheduled: "Scheduled",
  running: "Running",
  retrying: "Waiting to retry",
  cancelling: "Cancelling…",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  lost: "Lost",
  expired: "Expired",
  waiting: "Waiting",
  done: "Done",
  skipped: "Skipped",

  queuedHint: "Waiting for a worker",
  next: "Next in line",
  ahead: "{n} ahead in line",
  unconfirmed: "Sent, but not heard of yet",
  scheduledAt: "Starts at {time}",
  scheduledIn: "Starts in {time}",
  scheduledNow: "Due now",
  lostHint: "The worker stopped without a word. Nobody knows how far it got.",
  expiredHint: "It was not begun in time.",
  cancellingHint: "goes on until its worker stops it",
  failedIn: "{label}: {message}",
  elapsed: "{time} elapsed",
  took: "took {time}",
  ran: "ran for {time}",
  left: "{time} left",
  slower: "taking longer than usual",
  usually: "usually {time}",
  attempt: "attempt {n}",
  resumed: "attempt {n}, resumed at {label}",
  attemptFailed: "attempt {n} failed",
  retryingAt: "Retrying at {time}",
  retryingIn: "Retrying in {time}",
  retryingNow: "Retry due now",
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
  notCancelled: "It could not be cancelled.",
  graph: "Graph",
  graphSaid: "Graph of the stages: {done} of {of} done",
  timeline: "Timeline",

  label: ({ label }) => label, // of a stage: translate by its key
  count: ({ stage }) => formatCount(stage),
  duration: ({ seconds }) => formatDuration(seconds),
  clock: ({ seconds }) => (seconds < 10 ? `${Math.floor(seconds)} ${words.units[0]}` : formatDuration(seconds)),
  roughly: ({ seconds }) => formatEta(seconds),
  event: () => "", // of an event of your own, by its name and data: what to show of it
};

// -- the page's frames and its clock -------------------------------------------------------------------------

const FRAME_MS = 8; // what drawing may take of a frame; the rest waits for the next: 500 elements stay smooth
/** Views to draw, the longest waiting first. @type {Set<View>} */
const dirty = new Set();
/** Views that show a running clock. @type {Set<View>} */
const ticking = new Set();
let frame = 0;
let clock = 0;
/** Made when first needed: there is no document where a server renders. @type {CSSStyleSheet} */
let styles;
/** Once it is loaded. @type {typeof import("./graph.js")} */
let graph;

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

/** @param {View} view */
function later(view) {
  dirty.add(view);
  frame ||= requestAnimationFrame(drawDirty);
}

/** One timer for all elements of the page, and none while nobody looks or nothing runs. */
function wind() {
  const wanted = ticking.size > 0 && !document.hidden;
  if (wanted === clock > 0) return;
  clearInterval(clock);
  clock = wanted ? Number(setInterval(() => ticking.forEach(later), 1000)) : 0;
  if (wanted) ticking.forEach(later);
}

/** @param {View} view @param {boolean} on */
function tick(view, on) {
  if (on) ticking.add(view);
  else ticking.delete(view);
  wind();
}

globalThis.document?.addEventListener("visibilitychange", wind);

// -- a task --------------------------------------------------------------------------------------------------

const GRACE = 2; // seconds a lost connection has to come back before anyone is bothered
const GAP_SHOWN = 10; // seconds
const LEFT_EVERY = 3; // seconds: an estimate that flickers is no estimate
const SPEAK_EVERY = 1.5; // seconds; what happens in between is said together
const PERCENT_EVERY = 10; // seconds
const SOON = 90; // seconds that are counted down; what is due later has a time of day

const MOST_NODES = 200; // stages; more make no picture

const EMPTY = { status: "queued", confirmed: true, attempt: 1, stages: [], link: "open", server_live: true, clock_offset: 0 };
const NOTHING = { ...EMPTY, confirmed: false, link: "connecting" };
/** @type {Record<string, string>} */
const REFUSALS = { unauthorized: "unauthorized", forbidden: "forbidden", not_found: "unknown", gone: "unknown" };
const SHOWN = {
  compact: ["header", "bar"],
  bar: ["header", "notice", "bar", "meta", "note", "event"],
  stepper: ["header", "notice", "meta", "note", "event", "stages"],
  full: ["header", "notice", "bar", "meta", "note", "event", "stages", "graph", "timeline"],
};

const wall = () => Date.now() / 1000;
const joined = (/** @type {unknown[]} */ ...parts) => parts.filter(Boolean).join(" · ");
/** @param {number | null | undefined} n @param {number | null | undefined} of */
const shareOf = (n, of) => (of && of > 0 ? Math.min(1, Math.max(0, (n ?? 0) / of)) : null);

/**
 * Draws a bar. One without a share claims no value, and moves while its status is running.
 * @param {any} bar @param {number | null} share @param {string} status @param {string} label @param {string} said
 */
function fill(bar, share, status, label, said) {
  look(bar, share === null && status === "running" ? "bar going" : "bar", status);
  attrs(bar, { "aria-label": label, "aria-valuetext": said, "aria-valuenow": share && Math.floor(share * 100) });
  css(bar.firstChild, "--p", `${share ?? 0}`);
}

/** @param {Make} make */
function makeBar(make) {
  const bar = make("div", "bar", make("div", "fill"));
  attrs(bar, { role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 });
  return bar;
}

/**
 * Keeps nodes per key, their `root` among the list's children in the items' order.
 * @param {any} list @param {Map<string, Nodes>} kept @param {readonly Stage[]} items
 * @param {(nodes: Nodes) => Nodes} build @param {(nodes: Nodes, item: Stage) => void} draw
 */
function keyed(list, kept, items, build, draw) {
  items.forEach((item, i) => {
    const nodes = kept.get(item.key) ?? build({});
    kept.set(item.key, nodes);
    if (list.children[i] !== nodes.root) list.insertBefore(nodes.root, list.children[i] ?? null);
    draw(nodes, item);
  });
  if (kept.size === items.length) return;
  const keys = new Set(items.map(({ key }) => key));
  for (const [key, { root }] of kept) if (!keys.has(key) && kept.delete(key)) root.remove();
}

/** @param {Nodes} row */
function buildRow(row) {
  const make = maker(row);
  const line = make("div", "row", make("span", "label"), make("span", "unseen"), make("span", "time"));
  row.root = make("li", "stage", icon(), make("div", "body", line, makeBar(make), make("p", "detail")));
  return row;
}

/** @param {Nodes} lane */
function buildLane(lane) {
  const make = maker(lane);
  lane.root = make("li", "lane", make("span", "label"), make("div", "track", make("div", "span")), make("span", "time"));
  return lane;
}

class View {
  /** @type {any} */
  state = NOTHING;
  /** @type {Nodes} */
  n = {};
  /** @type {Map<string, Nodes>} */
  rows = new Map();
  /** @type {Map<string, Nodes>} */
  lanes = new Map();
  variant = "";
  now = 0; // of the server
  asked = false; // to end
  cut = false; // for so long that it shows
  cutAt = 0;
  gapAt = 0;
  phase = "";
  title = "";
  step = "";
  percent = "";
  left = { text: "", at: 0, seconds: 0 };
  told = ""; // of the task's own last event, or of a cancel in vain
  said = ""; // in the notice
  /** What was drawn when it was last listened to. @type {any} */
  heard = null;
  mark = 0; // the last quarter that was said
  markAt = 0;
  /** @type {string[]} */
  unsaid = [];
  spokeAt = 0;
  speaking = 0;

  /** @param {HeadwayProgress} host @param {ShadowRoot} root */
  constructor(host, root) {
    this.host = host;
    this.root = root;
  }

  /** Begin with another task. */
  forget() {
    Object.assign(this, new View(this.host, this.root));
  }

  /** Show this from the next frame on. @param {any} state */
  take(state) {
    const s = (this.state = { ...EMPTY, ...state });
    const cut = !s.server_live || ["reconnecting", "offline"].includes(s.link) || (s.link === "connecting" && s.confirmed);
    if (cut && !this.cutAt) setTimeout(later, GRACE * 1000, this);
    this.cutAt = cut ? this.cutAt || wall() : 0; // reckoned here: a hidden page does not draw
    this.gapAt = s.gap ? this.gapAt || wall() : 0;
    later(this);
  }

  /** The text of that name, its places filled. @param {string} name @param {Record<string, unknown>} [values] @returns {string} */
  t(name, values) {
    const text = this.host.texts[name] ?? name;
    if (typeof text === "function") return String(text({ ...values, locale: this.host.locale }) ?? "");
    return text.replace(/\{(\w+)\}/g, (_, place) => String(values?.[place] ?? ""));
  }

  /** From then until then; without an end a clock, in whole seconds. @param {number | null} from @param {number | null} [to] */
  time(from, to) {
    return from == null ? "" : this.t(to ? "duration" : "clock", { seconds: Math.max(0, (to ?? this.now) - from) });
  }

  /** @param {Stage} stage */
  label({ key, label }) {
    return this.t("label", { key, label: label ?? key });
  }

  build() {
    const { host } = this;
    const { variant } = host;
    /** @type {Nodes} */
    const n = (this.n = {});
    Object.assign(this, { variant, rows: new Map(), lanes: new Map() });
    const make = maker(n);
    /** @param {string} name @param {Element} inside */
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
    make("div", "base", ...SHOWN[variant].map((name) => n[name]), make("slot", "result"));
    make("p", "live");
    make("p", "alert");
    for (const list of [n.stages, n.lanes]) attrs(list, { role: "list" }); // Safari's lists without marks are none
    attrs(n.base, { role: "group", tabindex: -1 }); // takes the focus of a button that goes
    attrs(n.scroller, { role: "group", tabindex: 0 });
    attrs(n.canvas, { role: "img" });
    attrs(n.live, { role: "status", "aria-atomic": true });
    attrs(n.alert, { role: "alert" });
    attrs(n.result, { name: "result" });
    n.graph.open = true;
    n.reconnect.onclick = () => host.reconnect();
    n.cancel.onclick = () => host.cancelTask();
    this.root.replaceChildren(n.base, n.live, n.alert); // regions out of sight are still to be heard
  }

  draw() {
    const { state: s, host } = this;
    if (!this.n.base || this.variant !== host.variant) this.build();
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
    const asked = (this.asked = s.cancelling || host.cancelling);
    const phase = (this.phase = blind || notice === "stalled" ? notice : !known ? "connecting" : asked ? "cancelling" : s.status);
    this.now = (cut ? this.cutAt : wall()) + s.clock_offset; // a clock that went on would claim to know
    this.title = s.title ?? s.name ?? this.t("task");
    const at = s.stages.findIndex((/** @type {Stage} */ { status }) => status === "running");
    this.step = at < 0 ? "" : this.t("step", { n: at + 1, of: s.stages.length, label: this.label(s.stages[at]) });

    look(n.base, `base as-${this.variant}${cut || blind ? " stale" : ""}`, phase);
    attrs(n.base, { "aria-label": this.title });
    this.drawHeader(phase, notice);
    this.drawFacts(phase, notice);
    if (n.stages.isConnected) keyed(n.stages, this.rows, s.stages, buildRow, (row, stage) => this.drawRow(row, stage));
    if (n.timeline.isConnected) {
      this.drawTimeline();
      this.drawGraph();
    }
    this.hear(phase, notice);
    tick(this, host.isConnected && known && !ended && !blind && s.status !== "lost");
  }

  /** @param {string} phase @param {string} notice */
  drawHeader(phase, notice) {
    const { n, host, state: s, cut } = this;
    const { status } = s;
    const tone = toneOf(phase);
    const share = shareOf(s.progress, s.progress == null ? 0 : 1);
    const values = { n: Math.floor((share ?? 0) * 100) };
    this.percent = share === null ? "" : this.t("percent", values);
    let word = this.t(phase === notice ? `${phase}Short` : phase);
    const said = share === null ? word : this.t("percentSaid", values);
    fill(n.bar, share, tone === "warn" ? "running" : phase, this.title, this.step ? `${said}, ${this.step}` : said);
    const settled = ["ok", "err", "off"].includes(tone);
    this.hide(n.bar, share === null && settled);
    const compact = this.variant === "compact";
    if (compact && notice && notice !== "gap") word = this.t(`${notice}Short`);
    else if (compact && phase === "running") word = this.percent || word;
    else if (compact || phase === "retrying") word = this.wait(phase) || word;
    look(n.status, "status", phase);
    write(n.title, this.title);
    write(n.word, word);
    write(n.cancel, this.t("cancel"));
    this.hide(n.cancel, settled || this.asked || phase === "connecting" || !host.hasAttribute("cancel"));

    this.said = notice && this.t(notice, {
      job: this.t(["running", "retrying"].includes(status) ? "going" : "safe"),
      time: this.t("clock", { seconds: cut ? wall() - this.cutAt : this.now - (s.updated_at ?? this.now) }),
      message: s.link_error?.message,
    });
    look(n.notice, "notice", notice);
    write(n.said, this.said);
    write(n.reconnect, this.t("reconnect"));
    this.hide(n.notice, !notice);
    this.hide(n.reconnect, !cut && s.link !== "closed");
    n.result.hidden = status !== "succeeded";
  }

  /** Hide it; if it has the focus, that stays near. @param {any} node @param {boolean} hidden */
  hide(node, hidden) {
    if (hidden && !node.hidden && node.contains(this.root.activeElement)) this.n.base.focus();
    node.hidden = hidden;
  }

  /** @param {string} phase @param {string} notice */
  drawFacts(phase, notice) {
    const { n, state: s } = this;
    const { status, error, started_at, finished_at } = s;
    let wait = this.wait(phase);
    if (phase === "queued") wait = joined(wait || this.t(s.confirmed ? "queuedHint" : "unconfirmed"), this.time(s.queued_at));
    if (phase === "retrying") wait = ""; // its status says it
    const from = resumedAt(s);
    let took = "";
    if (started_at && finished_at) took = this.t(status === "succeeded" ? "took" : "ran", { time: this.time(started_at, finished_at) });
    else if (started_at) took = this.t("elapsed", { time: this.time(started_at) });
    const percent = status !== "succeeded" && this.percent;
    const attempt = s.attempt > 1 && this.t(from ? "resumed" : "attempt", { n: s.attempt, label: from && this.label(from) });
    write(n.facts, phase === "connecting" ? "" : joined(wait, percent, this.variant === "bar" && this.step, attempt, took));
    const left = phase === "running" && !this.cut ? this.timeLeft() : "";
    write(n.remaining, phase === "cancelling" ? this.t("cancellingHint") : left);
    n.meta.hidden = !n.facts.firstChild && (notice !== "" || isEnded(s));

    const stage = s.stages.find((/** @type {Stage} */ { key }) => key === error?.stage);
    let note = error?.message ?? error?.type ?? (["lost", "expired"].includes(phase) ? this.t(`${phase}Hint`) : s.message ?? "");
    if (stage && status === "retrying" && n.stages.isConnected) note = ""; // its stage says it
    else if (stage) note = this.t("failedIn", { label: this.label(stage), message: note });
    look(n.note, "note", phase);
    write(n.note, note);
    write(n.event, this.told);
  }

  /** Its turn or its time, while it waits for that and it is known. @param {string} phase */
  wait(phase) {
    const { position, due_at, clock_offset } = this.state;
    if (phase === "queued" && position) return this.t(position > 1 ? "ahead" : "next", { n: position - 1 });
    if (!due_at || !["scheduled", "retrying"].includes(phase)) return "";
    const seconds = Math.ceil(due_at - this.now);
    if (seconds <= SOON) return this.t(phase + (seconds > 0 ? "In" : "Now"), { time: this.t("clock", { seconds }) });
    const date = new Date((due_at - clock_offset) * 1000);
    const day = date.toDateString() === new Date().toDateString() ? undefined : "numeric";
    const time = date.toLocaleString(this.host.locale, { day, month: day && "short", hour: "numeric", minute: "numeric" });
    return this.t(`${phase}At`, { time });
  }

  /** The words stay for a while, and twice as long when they would promise less. */
  timeLeft() {
    const { now, left, state: s } = this;
    const said = formatEta(s, now);
    if (said === words.over) return this.t("slower");
    const seconds = secondsLeft(s, now) ?? 0;
    const passed = now - left.at;
    const grew = seconds > 1.2 * (left.seconds - passed);
    if (!said) return "";
    if (passed >= (grew ? 2 : 1) * LEFT_EVERY) {
      this.left = { text: this.t("left", { time: this.t("roughly", { seconds }) }), at: now, seconds };
    }
    return this.left.text;
  }

  /** @param {Nodes} row @param {Stage} stage */
  drawRow(row, stage) {
    const { state: s, phase } = this;
    const { started_at, finished_at, expected, runs } = stage;
    let { message } = stage;
    /** @type {string} */
    let status = stage.status;
    if (status === "running" && ["lost", "stalled"].includes(phase)) status = phase;
    if (status === "failed" && s.status === "cancelled" && finished_at === s.finished_at) status = s.status;
    let time = this.time(started_at, finished_at ?? s.finished_at);
    if (status === "failed" && s.status === "retrying" && s.error?.stage === stage.key) {
      status = s.status;
      message = s.error.message ?? s.error.type;
      time = this.t("attemptFailed", { n: s.attempt });
    }
    if (status === "skipped") time = this.t(status);
    if (status === "waiting") time = expected && !s.finished_at ? this.t("usually", { time: this.t("roughly", { seconds: expected }) }) : "";
    const label = this.label(stage);
    const count = this.t("count", { stage });
    look(row.root, "stage", status);
    attrs(row.root, { "aria-current": status === "running" ? "step" : null });
    write(row.label, label);
    write(row.unseen, this.t(status));
    write(row.time, time);
    write(row.detail, joined(count, message, runs > 1 && this.t("runs", { n: runs })));
    row.bar.hidden = stage.status !== "running";
    if (!row.bar.hidden) fill(row.bar, shareOf(stage.current, stage.total), status, label, count || this.t(status));
  }

  drawTimeline() {
    const { n, now, state: s } = this;
    /** @type {(Stage & { started_at: number })[]} */
    const begun = s.stages.filter((/** @type {Stage} */ { started_at }) => started_at);
    n.timeline.hidden = !begun.length;
    write(n["timeline-summary"], this.t("timeline"));
    if (n.timeline.hidden || !n.timeline.open) return;
    const endOf = (/** @type {Stage} */ { finished_at }) => finished_at ?? s.finished_at ?? now;
    const from = Math.min(...begun.map(({ started_at }) => started_at));
    const whole = Math.max(...begun.map(endOf)) - from || 1;
    keyed(n.lanes, this.lanes, begun, buildLane, (lane, stage) => {
      const start = stage.started_at ?? from;
      look(lane.span, "span", stage.status);
      write(lane.label, this.label(stage));
      write(lane.time, this.time(start, stage.finished_at ?? s.finished_at));
      css(lane.span, "inset-inline-start", `${((start - from) / whole) * 100}%`);
      css(lane.span, "inline-size", `${((endOf(stage) - start) / whole) * 100}%`);
    });
  }

  drawGraph() {
    const { n, state: { stages } } = this;
    n.graph.hidden = stages.length > MOST_NODES || !stages.some((/** @type {Stage} */ { needs }) => needs?.length);
    if (n.graph.hidden) return;
    write(n["graph-summary"], this.t("graph"));
    attrs(n.scroller, { "aria-label": this.t("graph") });
    if (graph) graph.drawGraph(this, n.canvas, HeadwayProgress.layout);
    else import("./graph.js").then((loaded) => later((graph = loaded) && this));
  }

  /**
   * Say what has changed since it was last drawn: transitions, and now and then how far it is; never a tick.
   * @param {string} phase @param {string} notice
   */
  hear(phase, notice) {
    const { state: s, heard, title, n } = this;
    /** @type {Stage[]} */
    const stages = s.stages;
    const known = heard && heard.phase !== "connecting";
    const mark = Math.floor(s.progress * 4);
    if (!known || mark < this.mark) this.mark = mark;
    this.heard = { phase, notice, was: new Map(stages.map((/** @type {Stage} */ { key, status }) => [key, status])) };
    if (!heard || this.host.hasAttribute("quiet")) return;
    const changed = phase !== heard.phase;
    const word = n.word.textContent;
    if (changed) write(n.alert, ["failed", "lost"].includes(phase) ? `${this.t("stage", { label: title, status: word })}. ${n.note.textContent}` : "");
    if (n.alert.firstChild) return;
    if (isEnded(s)) {
      if (changed) this.say([this.t("stage", { label: title, status: joined(word, n.facts.textContent) })], true);
      return;
    }
    /** @type {string[]} */
    const news = [];
    if (known) {
      stages.forEach((stage, i) => {
        const { key, status } = stage;
        if (status === heard.was.get(key) || status === "waiting") return;
        const label = this.label(stage);
        if (status === "running") news.push(this.t("step", { n: i + 1, of: stages.length, label }));
        else news.push(this.t("stage", { label, status: this.t(status) }));
      });
      if (changed && phase !== notice && (phase === "retrying" || !news.length)) news.push(word);
    }
    if (notice !== heard.notice) {
      if (notice) news.push(this.said);
      else if (heard.notice !== "gap" && heard.notice !== "stalled") news.push(this.t("back"));
    }
    if (mark > this.mark && mark < 4 && phase === "running" && wall() - this.markAt >= PERCENT_EVERY) {
      Object.assign(this, { mark, markAt: wall() });
      news.push(this.t("percentSaid", { n: mark * 25 }));
    }
    this.say(news);
  }

  /** What is the last word goes before all else. @param {string[]} news @param {boolean} [last] */
  say(news, last) {
    this.unsaid = last ? news : [...this.unsaid, ...news];
    if (!this.unsaid.length || this.speaking) return;
    const speak = () => {
      if (this.n.live) write(this.n.live, this.unsaid.slice(-3).join(". "));
      this.unsaid = [];
      this.speaking = 0;
      this.spokeAt = wall();
    };
    this.speaking = Number(setTimeout(speak, 1000 * Math.max(0, this.spokeAt + SPEAK_EVERY - wall())));
  }
}

// -- the element ---------------------------------------------------------------------------------------------

/**
 * `<headway-progress task="…">`. It fires `headway:change` (with the state), `headway:event` (an event of the task's own:
 * name and data), `headway:done` (the last state), and `headway:cancel`, which may be prevented.
 */
export class HeadwayProgress extends (globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {})) {
  static observedAttributes = ["task", "token", "url", "base", "variant", "locale", "cancel", "quiet"];
  /** What all elements say. @type {Texts} */
  static texts = texts;
  /** More options of `watch`, for all elements. @type {import("./types.js").WatchOptions} */
  static options = {};
  /** Places the nodes of a graph otherwise: see `layered` in graph.js. @type {((stages: readonly any[]) => any) | undefined} */
  static layout;

  /** Whether the viewer has asked for the task's end. */
  cancelling = false;
  /** @type {View} */
  #view;
  /** @type {Texts} */
  #texts;
  /** @type {Token | undefined} */
  #token;
  /** @type {any} */
  #given = null;
  /** @type {Watch | undefined} */
  #watch;
  /** @type {(() => void) | undefined} */
  #leave;
  /** What is watched. @type {unknown[]} */
  #of = [];
  #ended = false;
  #connecting = false; // soon

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [(styles ??= sheet(CSS))];
    this.#view = new View(this, root);
    this.#texts = HeadwayProgress.texts;
  }

  connectedCallback() {
    /** @type {any} */
    const self = this;
    for (const name of ["state", "texts", "token"]) {
      if (!Object.hasOwn(self, name)) continue;
      const value = self[name]; // set before the element was defined
      delete self[name];
      self[name] = value;
    }
    this.#changed();
  }

  disconnectedCallback() {
    this.#leave?.();
    this.#leave = undefined;
    tick(this.#view, false);
  }

  /** @param {string} _ @param {string | null} before @param {string | null} now */
  attributeChangedCallback(_, before, now) {
    if (before !== now) this.#changed();
  }

  /** The task's id. @type {string | null} */
  get task() {
    return this.getAttribute("task");
  }
  set task(task) {
    attrs(this, { task });
  }

  /** Sent with requests, or a function that returns it. @type {Token | undefined} */
  get token() {
    return this.#token ?? this.getAttribute("token") ?? undefined;
  }
  set token(token) {
    this.#token = token;
    this.#changed();
  }

  /** Where the blueprint is. @type {string | undefined} */
  get base() {
    return this.getAttribute("base") ?? undefined;
  }

  /** @type {"full" | "stepper" | "bar" | "compact"} */
  get variant() {
    const variant = /** @type {keyof typeof SHOWN} */ (this.getAttribute("variant") ?? "full");
    return Object.hasOwn(SHOWN, variant) ? variant : "full";
  }

  /** @type {string | undefined} */
  get locale() {
    return this.getAttribute("locale") ?? undefined;
  }

  /** What this element says in words of its own. @type {Texts} */
  get texts() {
    return this.#texts;
  }
  set texts(own) {
    this.#texts = Object.setPrototypeOf({ ...own }, HeadwayProgress.texts);
    this.#view.left.at = 0;
    later(this.#view);
  }

  /** What is shown. Set by hand it needs no connection and has none; null leaves it to `task` again. @type {any} */
  get state() {
    return this.#given ?? this.#watch?.getSnapshot() ?? null;
  }
  set state(state) {
    this.#given = state;
    if (state) this.#show(state);
    this.#changed();
  }

  /** Connect anew, now. */
  reconnect() {
    this.#watch?.reconnect();
  }

  /** Ask for the task's end. */
  async cancelTask() {
    const task = this.task ?? this.state?.task;
    if (this.cancelling || this.state?.cancelling || !this.#fire("cancel", { task }, true)) return;
    this.cancelling = true;
    this.#view.told = "";
    later(this.#view);
    try {
      const token = typeof this.token === "function" ? await this.token(false) : this.token;
      const headers = token ? { Authorization: `Bearer ${token}` } : undefined;
      const { ok } = await fetch(`${this.base ?? "/headway"}/tasks/${encodeURIComponent(task ?? "")}/cancel`, { method: "POST", headers });
      if (!ok) throw new Error("refused");
    } catch {
      this.cancelling = false;
      this.#view.say([(this.#view.told = this.#view.t("notCancelled"))]);
      later(this.#view);
    }
  }

  /** Draw, and connect once all attributes are set. */
  #changed() {
    if (!this.#view) return;
    later(this.#view);
    if (this.#connecting) return;
    this.#connecting = true;
    queueMicrotask(() => this.#connect());
  }

  #connect() {
    this.#connecting = false;
    const { task, base, token } = this;
    const url = this.getAttribute("url") ?? undefined;
    const of = [task, url, base, token];
    const wanted = this.isConnected && !this.#given && (task || url);
    const same = of.every((each, i) => each === this.#of[i]);
    if (wanted && same && this.#leave) return;
    this.#leave?.();
    this.#leave = undefined;
    if (!wanted) return;
    if (!same) {
      this.#view.forget();
      this.cancelling = false;
    }
    this.#of = of;
    const onEvent = (/** @type {any} */ event) => this.#tell(event);
    const watched = (this.#watch = watch(task ?? "", { ...HeadwayProgress.options, baseUrl: base, token, url, initialState: this.#seed(), onEvent }));
    const show = () => this.#show(watched.getSnapshot());
    this.#leave = watched.subscribe(show);
    show();
  }

  /** The state that a server has rendered into the element. */
  #seed() {
    try {
      return JSON.parse(this.querySelector("script[type='application/json']")?.textContent ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {any} state */
  #show(state) {
    const ended = isEnded(state);
    const news = ended && !this.#ended;
    this.#ended = ended;
    if (ended || state.cancelling || state.status === "lost") this.cancelling = false; // its state says it all now
    this.#view.take(state);
    this.#fire("change", state);
    if (news) this.#fire("done", state);
  }

  /** @param {any} event */
  #tell(event) {
    if (event.type !== "emitted") return;
    this.#view.told = this.#view.t("event", event);
    later(this.#view);
    this.#fire("event", event);
  }

  /** @param {string} name @param {unknown} detail */
  #fire(name, detail, cancelable = false) {
    return this.dispatchEvent(new CustomEvent(`headway:${name}`, { detail, cancelable, bubbles: true, composed: true }));
  }
}

// Each text has its own direction, on the side of the page's. Bars of lists do not glide: each that moves is a layer of
// its own, too many for a long list. (What is said inside would be sent.)
const CSS = `
:host {
  --_text: var(--headway-text, light-dark(#0f172a, #e6edf6));
  --_muted: var(--headway-muted, light-dark(#526071, #9aa8bb));
  --_surface: var(--headway-surface, light-dark(#f8fafc, #121826));
  --_line: var(--headway-line, light-dark(#e2e8f0, #243044));
  --_edge: var(--headway-edge, light-dark(#7b8794, #6b7a90));
  --_accent: var(--headway-accent, light-dark(#2563eb, #60a5fa));
  --_ok: var(--headway-ok, light-dark(#15803d, #4ade80));
  --_warn: var(--headway-warn, light-dark(#b45309, #fbbf24));
  --_err: var(--headway-err, light-dark(#b91c1c, #f87171));
  display: block; color: var(--_text); line-height: 1.5; text-align: left; white-space: normal; overflow-wrap: anywhere;
}
:host([hidden]), [hidden] { display: none !important }
:host(:dir(rtl)) { text-align: right }
:host([data-theme="light"]) { color-scheme: light }
:host([data-theme="dark"]) { color-scheme: dark }
* { box-sizing: border-box; margin: 0; padding: 0; font: inherit }
:empty:is(p, span, ol) { display: none }
p, span { unicode-bidi: plaintext }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px }
.wait { --c: var(--_edge) } .run { --c: var(--_accent) } .ok { --c: var(--_ok) }
.warn { --c: var(--_warn) } .err { --c: var(--_err) } .off { --c: var(--_muted) }
.unseen, .live, .alert { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }

.base {
  position: relative; display: grid; grid-template-columns: minmax(0, 1fr); gap: .75em; outline: none;
  content-visibility: auto; contain-intrinsic-size: auto 12em auto 9em; overflow-clip-margin: 6px;
}
.as-full {
  padding: var(--headway-padding, 1.25em); background: var(--_surface);
  border: 1px solid var(--_line); border-radius: var(--headway-radius, .75em);
}
.header, .notice, .status, .meta, .as-compact { display: flex; flex-wrap: wrap; gap: .25em .75em; align-items: center }
.header { min-height: 1.9em }
.title { flex: 1 1 auto; max-width: 100%; font-size: 1.2em; font-weight: 650; line-height: 1.3 }
.status { gap: .4em; font-weight: 600; color: var(--c) }
.status.wait { color: var(--_muted) }
.meta { justify-content: space-between; min-height: 1.5em; margin-block-start: -.4em }
.row { display: flex; gap: 1em; align-items: baseline; justify-content: space-between }
.meta, .time, .detail, .note, .event, .notice, summary, button, .lane { color: var(--_muted); font-size: .875em; font-variant-numeric: tabular-nums }
.note.err { color: var(--_err); font-size: 1em }
.notice { padding: .5em .75em; border: 1px solid var(--c); border-radius: .5em; color: inherit }
.said { flex: 1 1 12em }
button { padding: .15em .75em; background: none; color: inherit; border: 1px solid var(--_edge); border-radius: .4em; white-space: nowrap; cursor: pointer }
button:hover { border-color: currentColor }

.icon { flex: none; width: 1.25em; height: 1.25em; fill: none; stroke: var(--c); stroke-width: 2; stroke-linecap: round; stroke-linejoin: round }
.running > .icon path { stroke-width: 8 }
.bar { height: .5em; overflow: hidden; background: var(--_line); border-radius: 1em }
.fill {
  --to: -1; height: 100%; background: var(--c); border-radius: inherit;
  transform: translateX(calc((1 - var(--p, 0)) * var(--to) * 100%)); transition: transform .3s linear;
}
.fill:dir(rtl) { --to: 1 }
.going .fill { width: 40%; animation: going 1.6s ease-in-out infinite }
@keyframes going { from { transform: translateX(calc(var(--to) * 100%)) } to { transform: translateX(calc(var(--to) * -250%)) } }

ol { display: grid; list-style: none }
.stage { position: relative; display: flex; gap: .75em; padding-block-end: 1em }
.stage:last-child { padding: 0 }
.stage > .icon { width: 1.75em; height: 1.75em }
.stage.run > .icon { stroke-dasharray: 50 16; animation: spin 1.2s linear infinite }
@keyframes spin { to { transform: rotate(1turn) } }
.off > .icon circle { stroke-dasharray: 3.5 3.1 }
.stage:not(:last-child)::before {
  content: ""; position: absolute; inset-block: 1.9em .15em; inset-inline-start: calc(.875em - 1px); border-inline-start: 2px solid var(--_line)
}
.stage.ok::before { border-color: var(--c) }
.body { flex: 1; min-width: 0; padding-block-start: .1em }
.label { font-weight: 600 }
.row > .time { flex: none; max-width: 60% }
:is(.wait, .off) > .body .label { font-weight: 400; color: var(--_muted) }
.body .bar { height: .375em; margin-block: .3em }

summary { font-weight: 600; cursor: pointer }
details > :last-child { margin-block-start: .6em }
.lanes { gap: .35em }
.lane { display: grid; grid-template-columns: minmax(3.5em, 9em) 1fr 5em; gap: .75em; align-items: center }
.lane > span { font: inherit }
.track { position: relative; height: .85em; background: var(--_line); border-radius: .25em }
.span { position: absolute; inset-block: 0; min-width: 3px; background: var(--c); border-radius: inherit }

.scroller { overflow-x: auto; padding: 2px }
.as-compact { contain-intrinsic-size: auto 12em auto 1.6em }
.as-compact .header { display: contents }
.as-compact .title { flex: 1 1 6em; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font: inherit }
.as-compact .bar { flex: 0 1 6em }
.as-compact .fill { transition: none }
.as-compact .status { order: 1; flex: none; flex-wrap: nowrap; width: 9.5em; font: inherit; font-variant-numeric: tabular-nums }
.as-compact .cancel { order: 2 }
.stale :is(.status, .bar, .stage, .node, .edge, .span) { --c: var(--_edge) }
.stale .status { color: var(--_muted) }
.stale :is(.icon, .fill) { animation-play-state: paused }

@media (prefers-reduced-motion: reduce) {
  .fill, .stage > .icon { transition: none; animation: none !important }
  .going .fill {
    width: 100%; transform: none;
    background: repeating-linear-gradient(135deg, var(--c) 0 .5em, var(--_line) .5em 1em)
  }
}
@media (forced-colors: active) {
  .bar, .track { border: 1px solid CanvasText }
  .fill, .span { background: Highlight; forced-color-adjust: none }
  .icon { stroke: CanvasText }
}
`;

if (globalThis.customElements && !customElements.get("headway-progress")) {
  customElements.define("headway-progress", HeadwayProgress);
}
