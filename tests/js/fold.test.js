// What events make of a state: by the examples Python's fold runs as well, and by laws.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fold, initialState, isEnded, reduce } from "../../headway/static/headway.js";

const folder = new URL("../fixtures/fold/", import.meta.url);
const examples = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .map((name) => ({ file: name, ...JSON.parse(readFileSync(new URL(name, folder), "utf8")) }));

const OF_STREAMS = ["snapshot", "stalled", "position", "link", "ended"];
const deepFreeze = (value) => {
  if (value && typeof value === "object") Object.values(Object.freeze(value)).forEach(deepFreeze);
  return value;
};

/** A state's fields as they are on the wire: what a page knows besides is left out. */
function onTheWire({ cursor, gap, server_live, ...state }) {
  return state;
}

describe("the shared examples", () => {
  for (const { file, name, events, state } of examples) {
    test(`${file}: ${name}`, () => {
      const folded = events.reduce((now, event) => deepFreeze(fold(now, event)), deepFreeze(initialState(state.task)));
      assert.deepEqual(onTheWire(folded), state);
      const told = events.filter(({ type }) => !OF_STREAMS.includes(type));
      const reduced = told.reduce((now, event) => deepFreeze(reduce(now, event)), deepFreeze(initialState(state.task)));
      assert.deepEqual(onTheWire(reduced), state);
    });

    test(`${file}: the same from a snapshot in the middle, and with every event twice`, () => {
      const told = events
        .filter(({ type }) => !OF_STREAMS.includes(type))
        .map((event, n) => ({ ...event, cursor: `${n + 1}-7` }));
      for (let cut = 0; cut <= told.length; cut++) {
        const before = told.slice(0, cut).reduce(fold, initialState(state.task));
        const snapshot = { type: "snapshot", task: state.task, at: 0, cursor: `${cut}-7`, state: onTheWire(before) };
        let now = reduce(initialState("another"), JSON.parse(JSON.stringify(snapshot)));
        for (const event of told.slice(cut)) {
          now = reduce(now, event);
          assert.equal(reduce(now, event), now, "an event that has been seen");
        }
        assert.deepEqual(onTheWire(now), state);
        for (const event of told) assert.equal(reduce(now, event), now, "an old event");
      }
    });
  }
});

const RUNNING = [
  { type: "queued", task: "t", at: 1, name: "app.process" },
  { type: "started", task: "t", at: 2, attempt: 1, stages: [{ key: "a" }, { key: "b" }], started_at: 2 },
  { type: "stage", task: "t", at: 3, stage: { key: "a", status: "running", current: 1, total: 4 }, progress: 0.125 },
].reduce(reduce, initialState("t"));

describe("laws of reduce", () => {
  test("an event nobody knows changes nothing: the same object returns", () => {
    for (const event of [
      { type: "paused", task: "t", at: 9 },
      { type: "ended", at: 9, tasks: 1 },
      { type: "constructor", task: "t", at: 9 },
      { type: "__proto__", task: "t", at: 9 },
      { type: "stage", task: "t", at: 9 },
      { type: "message", task: "t" },
      { type: "snapshot", task: "t", at: 9 },
      {},
      null,
      undefined,
    ]) {
      assert.equal(reduce(RUNNING, event), RUNNING, JSON.stringify(event));
    }
  });

  test("an event of a newer server only moves the cursor", () => {
    const now = reduce(RUNNING, { type: "paused", task: "t", at: 9, cursor: "4-1" });
    assert.deepEqual(now, { ...RUNNING, cursor: "4-1" });
  });

  test("events whose cursor has been seen change nothing", () => {
    const at = { ...RUNNING, cursor: "3-5" };
    for (const cursor of ["1-9", "2-1", "3-5"]) {
      assert.equal(reduce(at, { type: "message", task: "t", at: 9, message: "old", cursor }), at);
    }
    assert.equal(reduce(at, { type: "message", task: "t", at: 9, message: "new", cursor: "4-1" }).message, "new");
  });

  test("numbers of cursors are compared as numbers", () => {
    const at = { ...RUNNING, cursor: "9-1" };
    assert.equal(reduce(at, { type: "message", task: "t", at: 9, message: "ten", cursor: "10-1" }).message, "ten");
  });

  test("a snapshot replaces the state, whatever was there", () => {
    const before = { ...RUNNING, cursor: "9-1", server_live: false };
    const gap = { reason: "fork", first: null, last: null };
    const now = reduce(before, {
      type: "snapshot",
      task: "t",
      at: 9,
      cursor: "2-1",
      gap,
      state: { task: "t", status: "retrying" },
    });
    assert.deepEqual(now, { ...initialState("t"), status: "retrying", cursor: "2-1", gap, server_live: false });
    assert.equal(reduce(now, { type: "snapshot", task: "t", at: 9, cursor: "3-1", state: { task: "t" } }).gap, null);
  });

  test("a snapshot of what is known already changes nothing but what the server itself knows", () => {
    const before = { ...RUNNING, cursor: "3-1" };
    const snapshot = { type: "snapshot", task: "t", at: 9, cursor: "3-1", state: { ...onTheWire(RUNNING) } };
    assert.equal(reduce(before, snapshot), before);
    snapshot.state.stalled = true;
    assert.deepEqual(reduce(before, snapshot), { ...before, stalled: true });
    const waiting = { ...initialState("t"), cursor: "1-1", confirmed: true, position: 3 };
    const whole = { type: "snapshot", task: "t", at: 9, cursor: "1-1", state: { ...onTheWire(waiting), position: 1 } };
    assert.deepEqual(reduce(waiting, whole), { ...waiting, position: 1 });
  });

  test("a place in the queue is the server's to say, and is over when the task begins", () => {
    const queued = reduce(initialState("t"), { type: "queued", task: "t", at: 1, cursor: "1-1" });
    const third = reduce(queued, { type: "position", task: "t", at: 2, position: 3 });
    assert.deepEqual(third, { ...queued, position: 3 });
    assert.equal(reduce(third, { type: "position", task: "t", at: 3, position: 3 }), third);
    assert.deepEqual(reduce(third, { type: "position", task: "t", at: 3, position: null }), queued);
    assert.equal(reduce(third, { type: "cancelling", task: "t", at: 3, cursor: "2-1" }).position, 3);
    assert.equal(reduce(third, { type: "started", task: "t", at: 3, attempt: 1, cursor: "2-1" }).position, null);
  });

  test("a snapshot without an id leaves no cursor: the task has no journal yet, or all of it follows", () => {
    const now = reduce({ ...RUNNING, cursor: "3-1" }, { type: "snapshot", task: "t", at: 9, state: { task: "t" } });
    assert.equal(now.cursor, null);
    assert.equal(reduce(now, { type: "message", task: "t", at: 9, message: "all", cursor: "1-1" }).message, "all");
  });

  test("what the server says of itself and of the worker is kept beside the task's story", () => {
    const silent = reduce(RUNNING, { type: "stalled", task: "t", at: 9, stalled: true, reason: "gone" });
    assert.deepEqual(silent, { ...RUNNING, stalled: true });
    assert.equal(reduce(silent, { type: "stalled", task: "t", at: 9, stalled: true }), silent);
    const blind = reduce(RUNNING, { type: "link", at: 9, live: false });
    assert.deepEqual(blind, { ...RUNNING, server_live: false });
    assert.deepEqual(reduce(blind, { type: "link", at: 9, live: true }), RUNNING);
    assert.equal(reduce(blind, { type: "started", task: "t", at: 10, attempt: 2 }).server_live, false);
  });

  test("stages that did not change are the same objects", () => {
    const now = reduce(RUNNING, {
      type: "stage",
      task: "t",
      at: 4,
      stage: { key: "b", status: "running" },
      progress: 0.2,
    });
    assert.equal(now.stages[0], RUNNING.stages[0]);
    assert.notEqual(now.stages[1], RUNNING.stages[1]);
    assert.notEqual(now, RUNNING);
  });

  test("it never changes what it is given, and never throws", () => {
    const before = structuredClone(RUNNING);
    deepFreeze(RUNNING);
    const odd = [null, 0, "", [], {}, "x", -1, true, [null], { key: 1 }, { key: "a", status: 7, needs: 3 }];
    for (const type of [
      "queued",
      "started",
      "stage",
      "message",
      "emitted",
      "cancelling",
      "retrying",
      "finished",
      "snapshot",
      "stalled",
      "position",
      "link",
    ]) {
      for (const value of odd) {
        const event = {
          type,
          task: "t",
          at: 5,
          stage: value,
          stages: value,
          state: value,
          error: value,
          status: value,
          gap: value,
        };
        reduce(RUNNING, event);
        reduce(RUNNING, { ...event, cursor: "x" });
      }
    }
    assert.deepEqual(RUNNING, before);
  });
});

test("a task has ended when nothing more can come", () => {
  const ended = ["succeeded", "failed", "cancelled", "expired"];
  for (const status of ["queued", "scheduled", "running", "retrying", "lost", "toString", ...ended]) {
    assert.equal(isEnded({ status }), ended.includes(status), status);
  }
});
