// The page: starts a task, watches it with a native EventSource, and draws its state.

const byId = (id) => document.getElementById(id);
const RETRY_MS = 3000; // when the browser has given up and the task may still be there

// -- state: events are patches of absolute values, so folding is merging ---------------------------

const OUTCOMES = { succeeded: "done", failed: "failed", cancelled: "failed", expired: "failed", retrying: "failed" };

/** Give stages left open the outcome of an attempt that has ended. */
function settle(state) {
  const outcome = OUTCOMES[state.status];
  if (!outcome) return state;
  const stages = state.stages.map((stage) => {
    if (stage.status === "running") return { ...stage, status: outcome, finished_at: state.updated_at };
    if (stage.status === "waiting" && state.status === "succeeded") return { ...stage, status: "skipped" };
    return stage;
  });
  return { ...state, stages };
}

function withStage(stages, stage) {
  const known = stages.some((old) => old.key === stage.key);
  return known ? stages.map((old) => (old.key === stage.key ? stage : old)) : [...stages, stage];
}

/** The state after an event. A type this page does not know changes nothing. */
function fold(state, event) {
  const now = { ...state, updated_at: event.at };
  switch (event.type) {
    case "snapshot":
      return settle(event.state);
    case "queued":
      return { ...now, status: "queued", name: event.name, title: event.title };
    case "started": {
      const { type, at, ...told } = event;
      const kept = { name: event.name ?? state.name, title: event.title ?? state.title };
      return { ...now, error: null, result: null, finished_at: null, ...told, ...kept, status: "running" };
    }
    case "stage":
      return { ...now, stages: withStage(state.stages, event.stage), progress: event.progress };
    case "message":
      return { ...now, message: event.message, progress: event.progress };
    case "retrying":
      return settle({ ...now, status: "retrying", error: event.error });
    case "finished": {
      const progress = event.status === "succeeded" ? 1 : state.progress;
      const { status, result, error } = event;
      return settle({ ...now, status, result, error, progress, finished_at: event.at });
    }
    case "stalled":
      return { ...state, stalled: event.stalled };
    default:
      return state;
  }
}

// -- watching --------------------------------------------------------------------------------------

const EMPTY = { stages: [], status: "queued" };
const ENDED = ["succeeded", "failed", "cancelled", "expired"];
let source = null;

function watch(urls) {
  source?.close();
  let state = EMPTY;
  source = new EventSource(urls.events);
  const mine = source;

  mine.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    if (event.type === "link") {
      return notice(event.live ? "" : "The server has lost its own source. What you see may be old.");
    }
    state = fold(state, event);
    notice(state.stalled ? "The worker is silent. Nobody knows yet whether the task still runs." : "");
    draw(state);
    if (ENDED.includes(state.status)) mine.close();
  };
  mine.onopen = () => notice(""); // what is still wrong is said again
  mine.onerror = () => {
    if (mine.readyState === EventSource.CONNECTING) {
      notice("Live updates interrupted, reconnecting. What you see is the last that was known.");
    } else if (mine === source) {
      whyClosed(urls, mine);
    }
  };
}

/** An EventSource gives up without a reason; the state's own address tells it. */
async function whyClosed(urls, closed) {
  const answer = await fetch(urls.state).catch(() => null);
  if (closed !== source) return; // another task is watched by now
  if (answer?.status === 404) {
    return notice("There is no such task, or its progress is no longer kept.");
  }
  const state = answer?.ok ? await answer.json() : null;
  if (state && ENDED.includes(state.status)) {
    notice("");
    return draw(state);
  }
  notice("Live updates were refused. Trying again in a few seconds.");
  setTimeout(() => closed === source && watch(urls), RETRY_MS);
}

// -- drawing ---------------------------------------------------------------------------------------

const seconds = (from, to) => (from && to ? `${(to - from).toFixed(1)} s` : "");
const percent = (share) => (share == null ? "" : `${Math.floor(share * 100)} %`);
const joined = (...parts) => parts.filter(Boolean).join(" · ");

function set(element, text) {
  if (element.textContent !== text) element.textContent = text; // or a screen reader says it again
}

function notice(text) {
  set(byId("notice"), text);
  byId("notice").hidden = !text;
}

function fill(bar, share) {
  if (share == null) bar.removeAttribute("value");
  else bar.value = share;
}

function draw(state) {
  byId("task").hidden = false;
  byId("task").dataset.status = state.status;
  set(byId("title"), state.title ?? state.name ?? "Task");
  const error = state.error && [state.error.type, state.error.message].filter(Boolean).join(": ");
  set(byId("status"), joined(state.status, percent(state.progress), seconds(state.started_at, state.finished_at)));
  set(byId("said"), error || state.message || "");
  fill(byId("overall"), state.progress ?? (ENDED.includes(state.status) ? 0 : null));
  const list = byId("stages");
  while (list.children.length > state.stages.length) list.lastChild.remove();
  state.stages.forEach((stage, i) => drawStage(list.children[i] ?? addRow(list), stage));
  announce(state);
}

function addRow(list) {
  list.append(byId("stage").content.cloneNode(true));
  return list.lastElementChild;
}

function drawStage(row, stage) {
  const label = stage.label ?? stage.key;
  row.dataset.status = stage.status;
  set(row.querySelector("h3"), label);
  set(row.querySelector(".time"), seconds(stage.started_at, stage.finished_at) || stage.status);
  set(row.querySelector(".detail"), joined(counted(stage), stage.message));
  const bar = row.querySelector("progress");
  bar.setAttribute("aria-label", label);
  bar.hidden = ["waiting", "skipped"].includes(stage.status);
  const share = stage.total ? Math.min(1, (stage.current ?? 0) / stage.total) : null;
  fill(bar, stage.status === "done" ? 1 : share ?? (stage.status === "running" ? null : 0));
}

/** "3 of 12 pages" */
function counted({ current, total, unit }) {
  if (current == null) return "";
  const units = unit ? ` ${unit}${(total ?? current) === 1 ? "" : "s"}` : "";
  return `${current}${total ? ` of ${total}` : ""}${units}`;
}

/** Say transitions to screen readers, never ticks. */
function announce(state) {
  const at = state.stages.findIndex((stage) => stage.status === "running");
  const where = at < 0 ? "" : `, stage ${at + 1} of ${state.stages.length}: ${state.stages[at].label ?? state.stages[at].key}`;
  set(byId("announcement"), `Task ${state.status}${where}`);
}

// -- starting --------------------------------------------------------------------------------------

function refuse(text) {
  byId("refusal").hidden = !text;
  byId("refusal").textContent = text;
}

async function start(form) {
  const given = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  const body = JSON.stringify(Object.fromEntries(Object.entries(given).map(([name, value]) => [name, Number(value)])));
  const answer = await fetch(form.action, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const said = await answer.json();
  if (!answer.ok) {
    throw new Error([said.detail, ...(said.errors ?? []).map(({ field, detail }) => `${field} ${detail}.`)].join(" "));
  }
  history.pushState(null, "", `?task=${encodeURIComponent(said.task)}`);
  notice("");
  draw(EMPTY);
  watch(said);
}

byId("start").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  refuse("");
  try {
    await start(event.target);
  } catch (error) {
    refuse(error instanceof TypeError ? "The server cannot be reached." : error.message);
  } finally {
    button.disabled = false;
  }
});

addEventListener("popstate", () => location.reload());

const { events, state } = document.querySelector("main").dataset;
if (events) watch({ events, state });
