// @ts-check
// How long, how many: the same words in every user interface. Replace `words` to say them in another language.

/** @import { Stage, State, Watched } from "./types.js" */

export const words = {
  units: ["s", "min", "h", "d"],
  few: "a few seconds",
  about: (/** @type {string} */ time) => `about ${time}`,
  under: (/** @type {string} */ time) => `< ${time}`,
  over: "taking longer than usual",
  of: (/** @type {string} */ current, /** @type {string} */ total) => `${current} of ${total}`,
  count: (/** @type {number} */ n, /** @type {string} */ unit) => (n === 1 ? unit : `${unit}s`),
};

const SIZES = [1, 60, 3600, 86_400]; // seconds
const [FAR_ENOUGH, LONG_ENOUGH] = [0.05, 3]; // a share and seconds: less is no pace to reckon by
const STEPS = [1, 2, 3, 5, 10, 15, 20, 30, 40, 50]; // of seconds: an estimate must not look exact

const known = (/** @type {number} */ seconds) => seconds >= 0 && seconds < Infinity;
const sizeOf = (/** @type {number} */ seconds) => SIZES.findLastIndex((size) => seconds >= size);

/** "< 0.1 s", "0.4 s", "12 s", "3 min 05 s", "2 h 10 min"; "" for what is unknown. @param {number | null | undefined} seconds */
export function formatDuration(seconds) {
  if (seconds == null || !known(seconds)) return "";
  if (seconds < 0.05) return words.under(`0.1 ${words.units[0]}`);
  if (seconds < 9.95) return `${seconds.toFixed(1)} ${words.units[0]}`;
  const whole = Math.round(seconds);
  const at = sizeOf(whole);
  const first = `${Math.floor(whole / SIZES[at])} ${words.units[at]}`;
  if (!at) return first;
  const rest = Math.floor((whole % SIZES[at]) / SIZES[at - 1]);
  return `${first} ${String(rest).padStart(at < 3 ? 2 : 1, "0")} ${words.units[at - 1]}`;
}

/** A number and its unit, coarsely. @param {number} seconds @returns {[number, string]} */
function roughly(seconds) {
  const at = seconds < 55 ? 0 : Math.max(1, sizeOf(seconds * 1.02));
  const step = STEPS.find((step) => seconds <= step * 1.1) ?? 50;
  return [at ? Math.max(1, Math.round(seconds / SIZES[at])) : step, words.units[at]];
}

/**
 * "a few seconds", "about 20 s", "about 3 min", and for a range "20–40 s". Of a state: the time left now, "" when
 * nobody can say, "taking longer than usual" when it is over what its running stages usually take.
 * @param {number | readonly [number, number] | State | Watched | null | undefined} what
 * @param {number} [now] unix seconds of the server's clock
 * @returns {string}
 */
export function formatEta(what, now) {
  if (what == null) return "";
  if (typeof what === "number") {
    if (!known(what)) return "";
    return what < 5 ? words.few : words.about(roughly(what).join(" "));
  }
  if ("stages" in what) return left(what, now ?? Date.now() / 1000 + ("clock_offset" in what ? what.clock_offset : 0));
  if (!what.every(known)) return "";
  const [[low, lowUnit], [high, unit]] = [roughly(what[0]), roughly(what[1])];
  if (low === high && lowUnit === unit) return words.about(`${high} ${unit}`);
  return lowUnit === unit ? `${low}–${high} ${unit}` : `${low} ${lowUnit} – ${high} ${unit}`;
}

/**
 * Seconds until the task's end: what the server says, else, once there is enough to go by, at the pace so far; null when
 * nobody can say.
 * @param {State} state @param {number} now
 */
export function secondsLeft({ remaining, progress, started_at, updated_at }, now) {
  const at = updated_at ?? now;
  const spent = at - (started_at ?? at);
  if (remaining == null && progress && progress >= FAR_ENOUGH && spent >= LONG_ENOUGH) remaining = spent / progress - spent;
  return remaining == null ? null : Math.max(0, remaining - (now - at));
}

/** @param {State} state @param {number} now */
function left(state, now) {
  const { status, stages } = state;
  if (status !== "running") return "";
  const late = (/** @type {Stage} */ stage) =>
    stage.status === "running" && stage.expected && now - (stage.started_at ?? now) > stage.expected[1];
  return stages.some(late) ? words.over : formatEta(secondsLeft(state, now));
}

/**
 * The stage at which an attempt after the first went on, when those before it in the plan were left out; null otherwise.
 * Of a graph, one that waits for none of the others is where it begins.
 * @param {Pick<State, "attempt" | "stages">} state @returns {Stage | null}
 */
export function resumedAt({ attempt, stages }) {
  const at = attempt > 1 ? stages.findIndex(({ status }) => status !== "waiting" && status !== "skipped") : 0;
  const graph = stages.some(({ needs }) => needs?.length);
  return at > 0 && !(graph && !stages[at].needs?.length) ? stages[at] : null;
}

/** "211 of 340 chunks", "1,204 records", "3.5 of 8 seconds", "" where nothing is counted. @param {Partial<Stage>} stage */
export function formatCount({ current = null, total = null, unit = null }) {
  const whole = total ?? current;
  if (whole == null) return "";
  const maximumFractionDigits = Math.abs(whole) < 20 ? 1 : 0;
  const [said, all] = [current ?? 0, whole].map((n) => n.toLocaleString(undefined, { maximumFractionDigits }));
  const counted = total == null ? said : words.of(said, all);
  return unit ? `${counted} ${words.count(all === "1" ? 1 : whole, unit)}` : counted;
}
