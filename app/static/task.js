// One task's page: the element shows it, this shows what came of it and all that was said.

import { isEnded, parseSSE } from "/headway/static/headway.js";
import { make, say } from "./dom.js";
import { hear } from "./live.js";
import { draw } from "./results.js";

const MOST_LINES = 500;
const MOST_CHARACTERS = 400; // of a line
const HISTORY_MS = 10_000; // for what a log of a thousand events says at once

const element = document.querySelector("headway-progress");
const task = element.getAttribute("task");
const answers = document.getElementById("answers");
const result = document.getElementById("result");
const log = document.getElementById("log");

const seqOf = (cursor) => parseInt(cursor ?? "", 10) || 0;

let state = null;
let drawn = ""; // which end is shown
let frame = 0;

// -- what was said: live from the shared connection, what came before from the journal's log ------------------

const events = new Map(); // seq → event, at most MOST_LINES
let heard = 0; // events in all, as far as this page knows
let tokens = []; // [seq, node, text]
let torn = false; // tokens that are not in order
let loading = null;

function take(event) {
  const seq = seqOf(event.cursor);
  if (!seq || events.has(seq)) return;
  events.set(seq, event);
  heard = Math.max(heard, seq);
  if (events.size > MOST_LINES) events.delete(Math.min(...events.keys()));
  if (event.type === "emitted" && event.name === "token") token(seq, event.data);
  if (event.type === "started") tokens = tokens.filter(([at]) => at > seq); // a new attempt says it all again
  later();
}

function token(seq, data) {
  if (typeof data?.node !== "string" || typeof data.text !== "string") return;
  torn ||= tokens.length > 0 && seq < tokens.at(-1)[0];
  tokens.push([seq, data.node, data.text]);
}

/** All that the log still holds, once. A stream of what runs would go on; the shared connection has that. */
function history() {
  loading ??= load().catch(() => (loading = null));
  return loading;
}

async function load() {
  const enough = new AbortController();
  const timer = setTimeout(() => enough.abort(), HISTORY_MS);
  const upTo = seqOf(element.state?.cursor);
  try {
    const answer = await fetch(`/headway/tasks/${encodeURIComponent(task)}/events`, {
      headers: { "Last-Event-ID": "0" },
      signal: enough.signal,
    });
    if (!answer.ok || !answer.body) return;
    for await (const { data, id } of parseSSE(answer.body)) {
      const cursor = /(?:^|\/)(\d+-\d+)$/.exec(id ?? "")?.[1];
      if (!cursor) continue;
      take({ ...JSON.parse(data), cursor });
      if (upTo && seqOf(cursor) >= upTo) break;
    }
  } finally {
    clearTimeout(timer);
    enough.abort();
  }
}

// -- drawing, once a frame at most ----------------------------------------------------------------------------

function later() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    drawAnswers();
    drawLog();
  });
}

function title({ status, progress, title, name }) {
  const what = title ?? name ?? "Task";
  say(document.getElementById("title"), what);
  const far = status === "running" && progress != null ? `${Math.floor(progress * 100)}% · ` : "";
  const mark = { succeeded: "✓ ", failed: "✕ " }[status] ?? far;
  const said = `${mark}${what} · Headway`;
  if (document.title !== said) document.title = said;
}

/** Text that comes word by word, by the node that tells it. */
function drawAnswers() {
  const stages = (state?.stages ?? []).filter(({ data }) => data?.tokens);
  if (!tokens.length && !stages.length) return;
  if (torn) tokens.sort(([a], [b]) => a - b);
  torn = false;
  const texts = new Map(stages.map(({ key, data }) => [key, data.text]));
  for (const node of new Set(tokens.map(([, node]) => node))) {
    const told = tokens.filter(([, by]) => by === node);
    const { data } = stages.find(({ key }) => key === node) ?? {};
    if (!data || told.length >= data.tokens) texts.set(node, told.map(([, , text]) => text).join(""));
  }
  const card = answers.lastElementChild;
  for (const [node, text] of texts) {
    let shown = [...card.children].find(({ dataset }) => dataset.node === node);
    if (!shown) {
      shown = make("div", { class: "answer", "data-node": node }, make("h3", {}, `Written by “${node}”`), make("p"));
      card.append(shown);
    }
    const going = state?.stages.some(({ key, status }) => key === node && status === "running");
    shown.classList.toggle("going", Boolean(going));
    say(shown.lastElementChild, text);
  }
  answers.hidden = false;
}

function drawResult() {
  const key = isEnded(state) ? `${state.status}${state.finished_at}` : "";
  if (!key || key === drawn) return;
  drawn = key;
  const parts = draw(state);
  result.hidden = !parts.length;
  result.lastElementChild.replaceChildren(...parts);
}

const telling = (_, value) => (value === null || value?.length === 0 ? undefined : value);

const line = ({ cursor, at, type, name, task: _, ...more }) => {
  const said = JSON.stringify(more, telling);
  const when = new Date(at * 1000).toLocaleTimeString(undefined, { hour12: false });
  return `${seqOf(cursor)}  ${when}  ${type === "emitted" ? name : type}  ${said.length > MOST_CHARACTERS ? `${said.slice(0, MOST_CHARACTERS)}…` : said}`;
};

function drawLog() {
  if (!log.open) return;
  const [, note, list] = log.children;
  const newest = [...events.keys()].sort((a, b) => b - a);
  say(note, newest.length < heard ? `The newest ${newest.length} of ${heard} events` : `${newest.length} events, the newest first`);
  // Rows are kept: a reader who scrolls or selects is not disturbed by what comes above.
  const wanted = new Set(newest.map(String));
  for (const row of [...list.children]) if (!wanted.has(row.dataset.seq)) row.remove();
  newest.forEach((seq, i) => {
    if (list.children[i]?.dataset.seq === String(seq)) return;
    list.insertBefore(make("li", { "data-seq": seq }, line(events.get(seq))), list.children[i] ?? null);
  });
}

// -- going ----------------------------------------------------------------------------------------------------

let hearing = false;

function show(now) {
  state = now;
  if (now.confirmed) title(now);
  drawResult();
  later();
  if (!hearing) {
    hearing = true;
    if (!isEnded(now)) hear(task, take);
  }
  // Words told before this page was here are in the log alone.
  if (now.name === "workers.graphs" && (now.cursor || isEnded(now))) history();
}

element.addEventListener("headway:change", ({ detail }) => show(detail));
log.addEventListener("toggle", () => {
  if (!log.open) return;
  history();
  drawLog();
});
if (element.state) show(element.state);
