// How long and how many, in words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { formatCount, formatDuration, formatEta, initialState, resumedAt, words } from "../../headway/static/headway.js";

const said = (format, examples) => {
  for (const [value, text] of examples) assert.equal(format(value), text, JSON.stringify(value));
};

test("durations", () => {
  said(formatDuration, [
    [0, "< 0.1 s"],
    [0.049, "< 0.1 s"],
    [0.05, "0.1 s"],
    [0.44, "0.4 s"],
    [9.94, "9.9 s"],
    [9.96, "10 s"],
    [12.4, "12 s"],
    [59.6, "1 min 00 s"],
    [185, "3 min 05 s"],
    [3599.6, "1 h 00 min"],
    [7800, "2 h 10 min"],
    [86_400 * 3 + 3600 * 4, "3 d 4 h"],
    [null, ""],
    [undefined, ""],
    [-1, ""],
    [NaN, ""],
    [Infinity, ""],
  ]);
});

test("what is left, not more exactly than anybody knows", () => {
  said(formatEta, [
    [0, "a few seconds"],
    [4.9, "a few seconds"],
    [5, "about 5 s"],
    [12, "about 15 s"],
    [22, "about 20 s"],
    [38, "about 40 s"],
    [54, "about 50 s"],
    [57, "about 1 min"],
    [80, "about 1 min"],
    [100, "about 2 min"],
    [3000, "about 50 min"],
    [3570, "about 1 h"],
    [9000, "about 3 h"],
    [200_000, "about 2 d"],
    [null, ""],
    [undefined, ""],
    [-1, ""],
    [NaN, ""],
    [Infinity, ""],
  ]);
});

test("what it usually takes", () => {
  said(formatEta, [
    [[20, 40], "20–40 s"],
    [[2, 8], "2–10 s"],
    [[50, 130], "50 s – 2 min"],
    [[60, 120], "1–2 min"],
    [[100, 110], "about 2 min"],
    [[0.2, 0.4], "about 1 s"],
    [[3000, 9000], "50 min – 3 h"],
    [[-1, 5], ""],
    [[NaN, 5], ""],
  ]);
});

test("what is left of a task, now", () => {
  const running = { ...initialState("a"), status: "running", remaining: 60, updated_at: 1000 };
  assert.equal(formatEta(running, 1000), "about 1 min");
  assert.equal(formatEta(running, 1040), "about 20 s");
  assert.equal(formatEta(running, 2000), "a few seconds");
  assert.equal(formatEta({ ...running, remaining: null }, 1000), "");
  assert.equal(formatEta({ ...running, status: "succeeded" }, 1000), "");
  assert.equal(formatEta({ ...running, status: "queued" }, 1000), "");
});

test("what is left when nobody knows how long it usually takes is reckoned by the pace so far", () => {
  const paced = { ...initialState("a"), status: "running", started_at: 1000, updated_at: 1010, progress: 0.25 };
  assert.equal(formatEta(paced, 1010), "about 30 s");
  assert.equal(formatEta(paced, 1020), "about 20 s");
  assert.equal(formatEta({ ...paced, remaining: 600 }, 1010), "about 10 min");
  assert.equal(formatEta({ ...paced, progress: null }, 1010), "");
  assert.equal(formatEta({ ...paced, progress: 0.04 }, 1010), "", "too little is done");
  assert.equal(formatEta({ ...paced, started_at: 1008 }, 1010), "", "it has just begun");
  assert.equal(formatEta({ ...paced, started_at: null }, 1010), "");
});

test("a task whose stage takes longer than usual says that, and no number", () => {
  const stage = { key: "read", status: "running", started_at: 1000, expected: [20, 40] };
  const state = { ...initialState("a"), status: "running", remaining: 5, updated_at: 1000, stages: [stage] };
  assert.equal(formatEta(state, 1039), "a few seconds");
  assert.equal(formatEta(state, 1041), "taking longer than usual");
  assert.equal(formatEta({ ...state, stages: [{ ...stage, status: "done" }] }, 1041), "a few seconds");
});

test("without a time it is reckoned by the server's clock", () => {
  const state = { ...initialState("a"), status: "running", remaining: 600, updated_at: Date.now() / 1000 + 3600 };
  assert.equal(formatEta({ ...state, clock_offset: 3600 }), "about 10 min");
});

test("counts", () => {
  said(formatCount, [
    [{ current: 211, total: 340, unit: "chunk" }, "211 of 340 chunks"],
    [{ current: 0, total: 1, unit: "page" }, "0 of 1 page"],
    [{ current: 1, unit: "page" }, "1 page"],
    [{ current: 3, total: null, unit: "page" }, "3 pages"],
    [{ current: 3, total: 12 }, "3 of 12"],
    [{ current: null, total: 12, unit: "page" }, "0 of 12 pages"],
    [{ current: 3.5294, total: 8.04, unit: "second" }, "3.5 of 8 seconds"],
    [{ current: 0.25, total: 1.04, unit: "second" }, "0.3 of 1 second"],
    [{ current: 12.5, total: 61.2, unit: "second" }, "13 of 61 seconds"],
    [{ current: null, total: null, unit: "page" }, ""],
    [{}, ""],
  ]);
  assert.equal(formatCount({ current: 1204, unit: "record" }), `${(1204).toLocaleString()} records`);
});

test("the words may be others", (t) => {
  const english = { ...words };
  t.after(() => Object.assign(words, english));
  Object.assign(words, { few: "gleich", about: (time) => `etwa ${time}`, units: ["s", "min", "Std", "T"] });
  assert.equal(formatEta(1), "gleich");
  assert.equal(formatEta(7200), "etwa 2 Std");
});

test("where a later attempt went on", () => {
  const plan = (...statuses) => statuses.map((status, i) => ({ key: "abcd"[i], status }));
  const from = (attempt, stages) => resumedAt({ ...initialState("t"), attempt, stages })?.key ?? null;
  const left = plan("skipped", "waiting", "running", "waiting");
  assert.equal(from(2, left), "c");
  assert.equal(from(1, left), null, "it is the first attempt");
  assert.equal(from(2, plan("done", "skipped", "running")), null, "it began at the beginning");
  assert.equal(from(2, plan("waiting", "waiting")), null, "it has not begun");
  assert.equal(from(2, []), null);
  const graph = (needs) => [{ key: "a", status: "waiting", needs: [] }, { key: "b", status: "running", needs }, { key: "c", status: "waiting", needs: ["a"] }];
  assert.equal(from(2, graph(["a"])), "b");
  assert.equal(from(2, graph([])), null, "where a graph begins is no order");
});
