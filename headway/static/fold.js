// @ts-check
// The state of a task, and what events make of it. Pure. Python's fold runs the same fixtures (tests/fixtures/fold).

/** @import { Stage, State, TaskEvent } from "./types.js" */

const STAGE = {
  key: "",
  label: null,
  status: "waiting",
  current: null,
  total: null,
  unit: null,
  message: null,
  data: null,
  needs: [],
  started_at: null,
  finished_at: null,
  expected: null,
  runs: 0,
};

const ERROR = { type: "Error", message: null, stage: null };

/** @type {State} */
const STATE = {
  task: null,
  name: null,
  title: null,
  status: "queued",
  stalled: false,
  cancelling: false,
  position: null,
  confirmed: false,
  attempt: 0,
  progress: null,
  remaining: null,
  message: null,
  data: null,
  stages: [],
  result: null,
  error: null,
  worker: null,
  workflow: null,
  due_at: null,
  queued_at: null,
  started_at: null,
  updated_at: null,
  finished_at: null,
  cursor: null,
  gap: null,
  server_live: true,
};

const FACTS = ["name", "title", "workflow", "due_at"]; // told by the sender; a new attempt keeps them

/** What each event is about: what it does not say of that is over. @type {Record<string, string[]>} */
const SAYS = {
  queued: FACTS,
  started: ["attempt", "worker", "started_at", "progress", "remaining", "message", "data", "stages"],
  stage: ["progress", "remaining"],
  message: ["message", "data", "progress"],
  cancelling: [],
  emitted: [],
  retrying: ["error", "remaining"],
  finished: ["remaining", "status", "result", "error", "cancelling", "position"],
};

// `lost` is missing on purpose: a worker that was only cut off may come back.
const ENDED = ["succeeded", "failed", "cancelled", "expired"];

/** What was said in these fields, else the defaults. @param {any} defaults @param {any} said @returns {any} */
function pick(defaults, said, fields = Object.keys(defaults)) {
  /** @type {any} */
  const picked = {};
  for (const field of fields) picked[field] = said?.[field] ?? defaults[field];
  if (picked.error) picked.error = pick(ERROR, picked.error);
  if (picked.stages) picked.stages = Array.from(picked.stages, (stage) => pick(STAGE, stage));
  return picked;
}

/** The state before the first event. @param {string | null} id @returns {State} */
export const initialState = (id) => ({ ...STATE, task: id });

/** Whether nothing more will come. @param {Pick<State, "status">} state */
export const isEnded = ({ status }) => ENDED.includes(status);

/** The number of the event with that id. @param {string | null | undefined} cursor */
export const seqOf = (cursor) => parseInt(/** @type {string} */ (cursor), 10) || 0;

/** Stages left open get the outcome of an attempt that ends.
 * @param {State} state @param {string} ending @param {number} at */
function settle({ stages }, ending, at) {
  if (ending === "lost") return stages;
  const done = ending === "succeeded";
  /** @returns {Stage} */
  const settled = (/** @type {Stage} */ stage) => {
    if (stage.status === "running") return { ...stage, status: done ? "done" : "failed", finished_at: at };
    return stage.status === "waiting" && done ? { ...stage, status: "skipped" } : stage;
  };
  return stages.map(settled);
}

/** @param {readonly Stage[]} stages @param {Stage} stage */
function withStage(stages, stage) {
  const at = stages.findIndex(({ key }) => key === stage.key);
  return at < 0 ? [...stages, stage] : stages.with(at, stage);
}

/**
 * The state after an event of the task's history. One that is not known changes nothing: the same object returns.
 * @param {State} state @param {TaskEvent} event @returns {State}
 */
export function fold(state, event) {
  const { type, at } = event;
  const odd = typeof at !== "number" || (type === "stage" && typeof event.stage?.key !== "string");
  if (odd || !Object.hasOwn(SAYS, type)) return state;
  const now = { ...pick(STATE, event, SAYS[type]), confirmed: true, updated_at: at };
  switch (type) {
    case "queued":
      now.status = event.due_at > at ? "scheduled" : "queued";
      now.queued_at = at;
      break;
    case "started":
      now.status = "running";
      return { ...STATE, ...pick(state, event, [...FACTS, "task", "queued_at"]), ...now };
    case "stage":
      now.stages = withStage(state.stages, pick(STAGE, event.stage));
      break;
    case "cancelling":
      now.cancelling = true;
      break;
    case "retrying":
      now.status = type;
      now.due_at = event.delay == null ? null : at + event.delay;
      now.stages = settle(state, type, at);
      break;
    case "finished":
      now.finished_at = at;
      now.stages = settle(state, now.status, at);
      if (now.status === "succeeded") now.progress = 1;
  }
  const withdrawn = state.status === "lost" && !["queued", "cancelling", "finished"].includes(type);
  return { ...state, ...(withdrawn && { status: "running", finished_at: null, error: null }), ...now };
}

/**
 * The state after anything a stream says of its task. An event whose `cursor` has been seen, or one that says nothing
 * new, changes nothing: the same object returns. Never throws.
 * @param {State} state @param {TaskEvent} event @returns {State}
 */
export function reduce(state, event) {
  const { type, cursor = null, gap = null, state: whole } = event ?? {};
  const { server_live } = state;
  if (type === "link") return patch(state, { server_live: event.live !== false });
  if (["stalled", "position"].includes(type)) return patch(state, pick(STATE, event, [type]));
  if (type === "snapshot") {
    if (!whole) return state;
    if (cursor && cursor === state.cursor && !gap) return patch(state, pick(STATE, whole, ["stalled", "position"]));
    return { ...pick(STATE, { task: event.task, ...whole }), cursor, gap, server_live };
  }
  if (!type || (cursor && seqOf(cursor) <= seqOf(state.cursor))) return state;
  const next = fold(state, event);
  // An event of a newer server moves the cursor, or the next one would seem to come after a hole.
  return patch(next, { cursor: cursor ?? state.cursor, gap: state.gap, server_live });
}

/** @param {State} state @param {Partial<State>} now @returns {State} */
function patch(state, now) {
  const news = Object.entries(now).some(([field, value]) => state[/** @type {keyof State} */ (field)] !== value);
  return news ? { ...state, ...now } : state;
}
