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

/** @type {Record<string, string[]>} */
const SAYS = {
  queued: FACTS,
  started: ["attempt", "worker", "started_at", "progress", "remaining", "message", "data", "stages"],
  stage: ["progress", "remaining"],
  message: ["message", "data", "progress"],
  emitted: [],
  cancelling: [],
  retrying: ["error"],
  finished: ["status", "result", "error"],
};

/** What becomes of stages left open. `lost` is missing on purpose: a worker that was only cut off may come back.
 * @type {Record<string, Stage["status"]>} */
const OUTCOMES = { succeeded: "done", failed: "failed", cancelled: "failed", expired: "failed", retrying: "failed" };

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
export const isEnded = ({ status }) => status !== "retrying" && Object.hasOwn(OUTCOMES, status);

/** The number of the event with that id. @param {string | null | undefined} cursor */
export const seqOf = (cursor) => parseInt(cursor ?? "", 10) || 0;

/** Stages left open get the outcome of an attempt that ends.
 * @param {State} state @param {string} ending @param {number} at */
function settle({ stages }, ending, at) {
  if (!Object.hasOwn(OUTCOMES, ending)) return stages;
  const status = OUTCOMES[ending];
  return stages.map((stage) => {
    if (stage.status === "running") return { ...stage, status, finished_at: at };
    return stage.status === "waiting" && status === "done"
      ? { ...stage, status: /** @type {const} */ ("skipped") }
      : stage;
  });
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
  if (!Object.hasOwn(SAYS, type) || typeof at !== "number") return state;
  if (type === "stage" && typeof event.stage?.key !== "string") return state;
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
      now.remaining = null;
      now.stages = settle(state, type, at);
      break;
    case "finished":
      now.finished_at = at;
      now.remaining = now.position = null;
      now.cancelling = false;
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
  if (type === "stalled") return patch(state, { stalled: event.stalled === true });
  if (type === "position") return patch(state, { position: event.position ?? null });
  if (type === "snapshot") {
    if (!whole) return state;
    if (cursor && cursor === state.cursor && !gap)
      return patch(state, { stalled: whole.stalled === true, position: whole.position ?? null });
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
