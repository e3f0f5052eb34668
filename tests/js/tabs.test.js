// Several tabs of a browser, here clients in one process with a stand-in for Web Locks; browser.test.js has real ones.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "../../headway/static/headway.js";
import { tabs } from "../../headway/static/tabs.js";
import { pause, problem, serve, until } from "./site.js";

/** Web Locks as far as tabs use them: one holder per name, the others wait in order. */
function createLocks() {
  const held = new Map();
  const queues = new Map();
  const next = (name) => {
    if (held.has(name)) return;
    const waiting = queues.get(name)?.shift();
    if (waiting) grant(name, waiting);
  };
  function grant(name, { callback, resolve, reject }) {
    const lock = { reject };
    held.set(name, lock);
    Promise.resolve(callback({ name }))
      .then(resolve, reject)
      .finally(() => {
        if (held.get(name) !== lock) return;
        held.delete(name);
        next(name);
      });
  }
  const aborted = () => new DOMException("aborted", "AbortError");
  return {
    held,
    request(name, { signal, steal }, callback) {
      return new Promise((resolve, reject) => {
        const waiting = { callback, resolve, reject };
        if (steal) {
          held.get(name)?.reject(aborted());
          held.delete(name);
          return queueMicrotask(() => grant(name, waiting));
        }
        const queue = queues.get(name) ?? queues.set(name, []).get(name);
        queue.push(waiting);
        signal?.addEventListener("abort", () => {
          if (!queue.includes(waiting)) return;
          queue.splice(queue.indexOf(waiting), 1);
          reject(aborted());
        });
        queueMicrotask(() => next(name));
      });
    },
  };
}

async function begin(test, { tasks = ["a"], locks = createLocks(), ...options } = {}) {
  const site = await serve(test);
  site.start(...tasks);
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  test.after(() => delete globalThis.navigator);
  /** Another tab that watches these tasks. */
  function open(ids = ["a"], more = {}) {
    const client = createClient({
      baseUrl: site.base,
      share: tabs,
      retry: { minMs: 5, maxMs: 20 },
      ...options,
      ...more,
    });
    const shown = ids.map((id) => {
      const events = [];
      const watched = client.watch(id, { onEvent: (event) => events.push(event) });
      watched.subscribe(() => {});
      return { watched, events, now: watched.getSnapshot };
    });
    test.after(() => client.close());
    return { client, shown, ...shown[0] };
  }
  return { site, open, locks };
}

const connected = (...tabs) =>
  until(() => tabs.every(({ now }) => now().connected && now().confirmed), "all connected");
const numbers = ({ events }) => events.map(({ cursor }) => cursor && parseInt(cursor, 10)).filter(Boolean);

test("tabs that watch one task have one connection, and all hear everything", async (t) => {
  const { site, open } = await begin(t);
  const all = [open(), open(), open()];
  await connected(...all);
  site.message("a", "hello");
  await until(() => all.every(({ now }) => now().message === "hello"));
  assert.equal(site.requests.length, 1);
  site.end("a", 7);
  await until(() => all.every(({ now }) => now().link === "closed"));
  for (const tab of all) {
    assert.equal(tab.now().result, 7);
    assert.deepEqual(numbers(tab), [2, 3, 4]);
  }
  await pause(80);
  assert.equal(site.requests.length, 1);
});

test("who comes late has the state at once", async (t) => {
  const { site, open } = await begin(t);
  const first = open();
  await connected(first);
  site.message("a", "before");
  await until(() => first.now().message === "before");
  const late = open();
  await connected(late);
  assert.equal(late.now().message, "before");
  assert.equal(late.now().cursor, first.now().cursor);
  assert.equal(late.now().gap, null);
  assert.equal(site.requests.length, 1);
});

test("tasks of all tabs are on the one connection", async (t) => {
  const { site, open } = await begin(t, { tasks: ["a", "b"] });
  const [one, other] = [open(["a"]), open(["b"])];
  await connected(one, other);
  await until(() => site.open.length === 1);
  site.message("a", "for a");
  site.message("b", "for b");
  await until(() => one.now().message === "for a" && other.now().message === "for b");
  assert.deepEqual(
    [site.paths[0].includes("task=b"), site.paths.at(-1).includes("task=b")],
    [site.requests.length === 1, true],
  );
});

test("when the tab that leads is closed, another goes on where it was, and nothing is lost", async (t) => {
  const { site, open } = await begin(t);
  const [first, second, third] = [open(), open(), open()];
  await connected(first, second, third);
  site.message("a", "1");
  await until(() => third.now().message === "1");
  first.client.close();
  site.message("a", "2");
  await until(() => second.now().message === "2" && third.now().message === "2");
  await connected(second, third);
  assert.equal(site.requests.length, 2);
  assert.equal(site.requests[1].headers["last-event-id"], "3-1002");
  for (const tab of [second, third]) {
    assert.deepEqual(numbers(tab), [2, 3, 4]);
    assert.equal(tab.now().gap, null);
  }
  second.client.close();
  site.message("a", "3");
  await until(() => third.now().message === "3");
  assert.deepEqual(numbers(third), [2, 3, 4, 5]);
  await until(() => site.open.length === 1);
});

test("what only a tab that follows watches goes on as well", async (t) => {
  const { site, open } = await begin(t, { tasks: ["a", "b"] });
  const first = open(["a"]);
  await connected(first);
  const second = open(["b"]);
  await connected(second);
  first.client.close();
  site.message("b", "on");
  await until(() => second.now().message === "on");
  assert.deepEqual(numbers(second), [2, 3]);
  await until(() => site.open.length === 1);
  assert.match(site.paths.at(-1), /^\/headway\/tasks\/b\/events$/);
});

test("what no tab watches any more is left out", async (t) => {
  const { site, open } = await begin(t, { tasks: ["a", "b"] });
  const [one, other] = [open(["a"]), open(["b"])];
  await connected(one, other);
  other.client.close();
  await until(() => site.open.length === 1 && site.paths.at(-1) === "/headway/tasks/a/events");
  one.client.close();
  await until(() => site.open.length === 0);
});

test("all tabs show what becomes of the connection", async (t) => {
  const { site, open } = await begin(t);
  const [one, other] = [open(), open()];
  await connected(one, other);
  site.always = (_, response) => response.destroy();
  site.cut();
  await until(() => one.now().reconnecting && other.now().reconnecting);
  site.always = null;
  await connected(one, other);
});

test("a tab of another viewer shares nothing", async (t) => {
  const { site, open } = await begin(t);
  const [one, other] = [open(["a"], { viewer: "1" }), open(["a"], { viewer: "2" })];
  await connected(one, other);
  assert.equal(site.requests.length, 2);
});

test("tokens never go over the channel", async (t) => {
  const said = [];
  const post = BroadcastChannel.prototype.postMessage;
  BroadcastChannel.prototype.postMessage = function (message) {
    said.push(JSON.stringify([this.name, message]));
    return post.call(this, message);
  };
  t.after(() => (BroadcastChannel.prototype.postMessage = post));
  const { site, open } = await begin(t, { token: "canary-7f1c", headers: { "X-Key": "canary-7f1c" } });
  const [first, second] = [open(), open()];
  await connected(first, second);
  first.client.close();
  await until(() => site.requests.length === 2);
  await connected(second);
  assert.ok(said.length > 3);
  assert.ok(!said.some((text) => text.includes("canary")));
  assert.equal(site.requests[0].headers.authorization, "Bearer canary-7f1c");
});

test("what the leader may not see, a tab that may asks for itself", async (t) => {
  const { site, open } = await begin(t, { tasks: ["a", "b"] });
  const stream = site.stream.bind(site);
  site.always = (seen, response) => {
    const wants = Object.keys(site.asked(seen));
    const mine = seen.headers.authorization === "Bearer b" ? "b" : "a";
    if (wants.some((task) => task !== mine))
      return problem(404, { tasks: wants.filter((task) => task !== mine) })(seen, response);
    return stream(seen, response);
  };
  const one = open(["a"], { token: "a" });
  await connected(one);
  const other = open(["b"], { token: "b" });
  await connected(other);
  assert.equal(site.open.length, 2);
  assert.ok(one.now().connected);
});

test("a task nobody knows is refused in every tab", async (t) => {
  const { open } = await begin(t);
  const [one, other] = [open(["x"]), open(["x"])];
  await until(() => one.now().link_error && other.now().link_error);
  assert.equal(other.now().link_error.status, 404);
});

test("a leader that is frozen is replaced", async (t) => {
  const { site, open, locks } = await begin(t);
  const first = open();
  await connected(first);
  // The frozen tab hears nothing and says nothing.
  const frozen = BroadcastChannel.prototype.postMessage;
  const [name] = locks.held.keys();
  const second = open();
  await connected(second);
  first.watched.getSnapshot();
  BroadcastChannel.prototype.postMessage = () => {};
  t.after(() => (BroadcastChannel.prototype.postMessage = frozen));
  const before = locks.held.get(name);
  second.watched.reconnect();
  await until(() => locks.held.get(name) !== before, "another holder", 4000);
  BroadcastChannel.prototype.postMessage = frozen;
  site.message("a", "on");
  await until(() => second.now().message === "on");
  assert.equal(second.now().gap, null);
  await until(() => site.open.length === 1, "one connection");
});

test("routes of the page's own are not shared", async (t) => {
  const { site, open } = await begin(t);
  const tab = open(["a"]);
  const own = tab.client.watch("7", { url: `${site.base}/tasks/a/events` });
  own.subscribe(() => {});
  await connected(tab, { now: own.getSnapshot });
  assert.equal(site.requests.length, 2);
});

test("a page that is put away leads no more; brought back it follows", async (t) => {
  const page = new EventTarget();
  const { addEventListener, removeEventListener } = globalThis;
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  t.after(() => Object.assign(globalThis, { addEventListener, removeEventListener }));
  const { site, open } = await begin(t);
  const first = open();
  await connected(first);
  globalThis.addEventListener = () => {}; // the second is another page
  const second = open();
  await connected(second);
  page.dispatchEvent(Object.assign(new Event("pagehide"), { persisted: true }));
  site.message("a", "meanwhile");
  await until(() => second.now().message === "meanwhile" && site.open.length === 1);
  page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await until(() => first.now().message === "meanwhile" && first.now().connected);
  assert.deepEqual(numbers(second), [2, 3]);
  assert.equal(site.open.length, 1);
});

test("without locks, as on plain http, each tab has its own connection", async (t) => {
  const { site, open } = await begin(t, { locks: undefined });
  Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
  const [one, other] = [open(), open()];
  await connected(one, other);
  assert.equal(site.requests.length, 2);
});
