// Many tasks: how they share connections, and how those are exchanged while they serve.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "../../headway/static/headway.js";
import { bare, dropping, pause, problem, serve, until } from "./site.js";

const QUICK = { retry: { minMs: 5, maxMs: 20 } };

async function begin(test, tasks, options = {}) {
  const site = await serve(test);
  site.start(...tasks);
  const client = createClient({ baseUrl: site.base, ...QUICK, ...options });
  test.after(() => client.close());
  /** Watch a task for the length of the test, and note its events and links. */
  const follow = (id, options) => {
    const numbers = [];
    const links = [];
    const hear = ({ cursor }) => cursor && numbers.push(parseInt(cursor, 10));
    const watched = client.watch(id, { onEvent: hear, ...options });
    const stop = watched.subscribe(() => {
      const { link } = watched.getSnapshot();
      if (links.at(-1) !== link) links.push(link);
    });
    test.after(stop);
    return { now: watched.getSnapshot, watched, stop, numbers, links };
  };
  return { site, client, follow };
}

const ids = (count) => Array.from({ length: count }, (_, n) => `${"0".repeat(31)}-${String(n).padStart(4, "0")}`);
const whole = (numbers) =>
  assert.deepEqual(
    numbers,
    numbers.map((_, n) => numbers[0] + n),
  );

test("tasks asked for within 50 ms begin with one request", async (t) => {
  const { site, follow } = await begin(t, ["a", "b", "c"]);
  const shown = [follow("a"), follow("b")];
  await pause(25);
  shown.push(follow("c"));
  await until(() => shown.every(({ now }) => now().confirmed && now().connected));
  assert.deepEqual(site.paths, ["/headway/events?task=a&task=b&task=c"]);
  site.message("b", "for b");
  await until(() => shown[1].now().message === "for b");
  assert.equal(shown[0].now().message, null);
});

test("one that is added later gets a stream with the others, made before theirs is broken", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  const a = follow("a");
  await until(() => a.now().connected);
  let overlapped = false;
  const ask = site.stream.bind(site);
  site.script.push((seen, response) => {
    overlapped = site.requests[0].open;
    site.message("a", "on the old one");
    ask(seen, response);
    site.message("a", "on both");
  });
  const b = follow("b");
  await until(() => b.now().connected && a.now().message === "on both");
  await until(() => site.open.length === 1);
  assert.ok(overlapped, "the old connection served until then");
  assert.deepEqual(site.paths, ["/headway/tasks/a/events", "/headway/events?task=a@2-1001&task=b"]);
  assert.deepEqual(a.links, ["connecting", "open"]);
  assert.deepEqual(a.numbers, [2, 3, 4], "each event once");
});

test("one that is left out gets the others a stream without it", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  const [a, b] = [follow("a"), follow("b")];
  await until(() => a.now().connected && b.now().connected);
  b.watched.close();
  await until(() => site.requests.length === 2 && site.open.length === 1);
  assert.equal(site.paths[1], "/headway/tasks/a/events");
  assert.deepEqual(a.links, ["connecting", "open"]);
});

test("tasks that end need no new stream, nor do those who watched them", async (t) => {
  const { site, follow } = await begin(t, ["a", "b", "c"]);
  const [a, b, c] = [follow("a"), follow("b"), follow("c")];
  await until(() => c.now().connected);
  site.end("a");
  await until(() => a.now().link === "closed");
  a.watched.close();
  await pause(120);
  site.message("b", "x");
  await until(() => b.now().message === "x");
  assert.equal(site.requests.length, 1);
  site.end("b");
  site.end("c");
  await until(() => c.now().link === "closed" && !site.open.length);
  await pause(80);
  assert.equal(site.requests.length, 1);
});

test("a task may be watched again right after it was left", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  const [a, b] = [follow("a"), follow("b")];
  await until(() => a.now().connected && a.now().confirmed);
  b.watched.close();
  await pause(20);
  const again = follow("b");
  await until(() => again.now().confirmed && again.now().connected);
  assert.equal(again.now().status, "running");
  site.message("b", "x");
  await until(() => again.now().message === "x");
  whole(again.numbers);
});

test("each task comes back with its own cursor", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  const [a, b] = [follow("a"), follow("b")];
  await until(() => a.now().connected);
  site.message("b", "1");
  await until(() => b.now().message === "1");
  site.cut();
  site.message("a", "2");
  site.message("b", "3");
  await until(() => a.now().message === "2" && b.now().message === "3");
  assert.equal(site.paths[1], "/headway/events?task=a@2-1001&task=b@3-1002");
  assert.equal(site.requests[1].headers["last-event-id"], undefined);
  whole(a.numbers);
  whole(b.numbers);
});

test("a URL stays below two kilobytes: beyond that tasks are asked for in a body", async (t) => {
  const tasks = ids(60);
  const { site, client, follow } = await begin(t, tasks);
  const shown = tasks.slice(0, 45).map((id) => follow(id));
  await until(() => shown.every(({ now }) => now().confirmed));
  assert.equal(site.requests[0].method, "GET");
  assert.ok(site.paths[0].length < 2048);
  site.cut();
  await until(() => site.requests.length === 2 && shown.every(({ now }) => now().connected));
  const [, { method, path, headers, body }] = site.requests;
  assert.deepEqual([method, path, headers["content-type"]], ["POST", "/headway/events", "application/json"]);
  assert.equal(Object.keys(JSON.parse(body)).length, 45);
  assert.ok(Object.values(JSON.parse(body)).every((cursor) => cursor === "2-1001"));
  client.close();
});

test("more than fifty tasks are asked for in a body, however short their ids", async (t) => {
  const tasks = Array.from({ length: 51 }, (_, n) => `t${n}`);
  const { site, follow } = await begin(t, tasks);
  const shown = tasks.map((id) => follow(id));
  await until(() => shown.every(({ now }) => now().confirmed));
  assert.equal(site.requests.length, 1);
  assert.equal(site.requests[0].method, "POST");
  assert.deepEqual(JSON.parse(site.requests[0].body), Object.fromEntries(tasks.map((id) => [id, null])));
});

test("a stream serves at most a thousand tasks", async (t) => {
  const tasks = ids(1100);
  const { site, follow } = await begin(t, tasks);
  const shown = tasks.map((id) => follow(id));
  await until(() => shown.every(({ now }) => now().confirmed));
  const sizes = site.requests.map(({ body }) => Object.keys(JSON.parse(body)).length);
  assert.deepEqual(sizes.sort(), [100, 1000]);
  const begun = Date.now();
  for (const id of tasks) site.end(id);
  await until(() => shown.every(({ now }) => now().link === "closed"));
  assert.ok(Date.now() - begun < 10_000, `${Date.now() - begun} ms`);
  await until(() => !site.open.length);
});

test("tasks nobody knows are told so; the others go on", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  const [a, x, b, y] = ["a", "x", "b", "y"].map((id) => follow(id));
  await until(() => a.now().connected && b.now().connected);
  for (const { now } of [x, y]) {
    assert.equal(now().link, "closed");
    assert.deepEqual(now().link_error, { status: 404, code: "not_found", message: "There is no such task." });
  }
  assert.deepEqual(site.paths, ["/headway/events?task=a&task=x&task=b&task=y", "/headway/events?task=a&task=b"]);
});

test("one that nobody knows is added: those that are watched notice nothing", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  const a = follow("a");
  await until(() => a.now().connected);
  const x = follow("x");
  await until(() => x.now().link_error);
  const b = follow("b");
  await until(() => b.now().connected);
  assert.deepEqual(a.links, ["connecting", "open"]);
  assert.deepEqual(site.paths.slice(1), [
    "/headway/events?task=a@2-1001&task=x",
    "/headway/events?task=a@2-1001&task=b",
  ]);
});

for (const status of [401, 403, 404]) {
  test(`when a stream with one more is refused (${status}), it is the new one that is refused`, async (t) => {
    const { site, follow } = await begin(t, ["a", "b"]);
    const a = follow("a");
    await until(() => a.now().connected);
    site.script.push(problem(status, { detail: "No." }));
    const b = follow("b");
    await until(() => b.now().link_error);
    site.message("a", "still here");
    await until(() => a.now().message === "still here");
    assert.deepEqual(a.links, ["connecting", "open"]);
    await pause(80);
    assert.equal(site.requests.length, 2);
  });
}

test("when all are refused, all are told", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  site.always = problem(401, { detail: "Log in." });
  const shown = [follow("a"), follow("b")];
  await until(() => shown.every(({ now }) => now().link_error?.status === 401));
  await pause(80);
  assert.equal(site.requests.length, 1);
});

test("the old connection serves while a new one is tried again and again", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  const a = follow("a");
  await until(() => a.now().connected);
  site.script.push(dropping, bare(503), dropping);
  const b = follow("b");
  await until(() => site.requests.length >= 3);
  site.message("a", "meanwhile");
  await until(() => a.now().message === "meanwhile");
  await until(() => b.now().connected);
  assert.deepEqual(a.links, ["connecting", "open"]);
  assert.ok(b.links.includes("reconnecting"));
  whole(a.numbers);
  await until(() => site.open.length === 1);
});

test("when the old connection breaks before the new one has opened, the new one serves all", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  const a = follow("a");
  await until(() => a.now().connected);
  const ask = site.stream.bind(site);
  site.script.push(async (seen, response) => {
    site.requests[0].response.destroy();
    await pause(30);
    ask(seen, response);
  });
  const b = follow("b");
  await until(() => b.now().connected && a.now().connected);
  await pause(80);
  assert.equal(site.requests.length, 2);
  assert.equal(site.open.length, 1);
  assert.deepEqual(a.links, ["connecting", "open", "reconnecting", "open"]);
});

test("tasks that come and go all the time do not keep the stream from opening", async (t) => {
  const tasks = ids(30);
  const { site, follow } = await begin(t, tasks);
  const shown = [];
  for (const id of tasks) {
    shown.push(follow(id));
    if (shown.length % 5 === 0) shown[shown.length - 5].watched.close();
    await pause(15);
    site.message(id, "hi");
  }
  const open = shown.filter(({ now }) => now().link !== "closed");
  assert.equal(open.length, 24);
  await until(() => open.every(({ now }) => now().connected && now().message === "hi"));
  await until(() => site.open.length === 1);
  for (const { numbers } of open) whole(numbers);
});

test("a thousand events of many tasks over a connection that keeps breaking come once and in order", async (t) => {
  const tasks = ["a", "b", "c"];
  const { site, follow } = await begin(t, tasks);
  const shown = tasks.map((id) => follow(id));
  await until(() => shown.every(({ now }) => now().confirmed));
  for (let n = 0; n < 1000; n++) {
    site.message(tasks[n % 3], `step ${n}`);
    if (n % 90 === 89) site.cut();
    if (n % 10 === 0) await pause(1);
  }
  for (const id of tasks) site.end(id);
  await until(() => shown.every(({ now }) => now().status === "succeeded"));
  for (const { numbers, now } of shown) {
    whole(numbers);
    assert.equal(now().gap, null);
  }
  assert.ok(site.requests.length > 5);
});

test("the last word of a stream of many ends what has not ended by itself", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  site.end("a");
  site.end("b");
  const seed = (id) => ({ initialState: { cursor: site.journals.get(id).last, status: "running" } });
  const [a, b] = [follow("a", seed("a")), follow("b", seed("b"))];
  await until(() => a.now().link === "closed" && b.now().link === "closed");
  assert.equal(site.requests.length, 1);
});

test("a task asked for anew while its connection is waiting hurries nothing", async (t) => {
  const { site, follow } = await begin(t, ["a", "b"]);
  site.always = bare(503, { "Retry-After": "300" });
  const a = follow("a");
  await until(() => a.now().reconnecting);
  await pause(20);
  follow("b");
  await pause(120);
  assert.equal(site.requests.length, 1);
  site.always = null;
  a.watched.reconnect();
  await until(() => a.now().connected);
  assert.equal(site.paths[1], "/headway/events?task=a&task=b");
});
