// The client against the real thing: gunicorn, a Celery worker and Redis.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "../../headway/static/headway.js";
import { until } from "./site.js";
import { begin, missing } from "./stack.js";

test("with the real server", { skip: missing }, async (t) => {
  const { web, own, told } = await begin(t);
  const quick = { retry: { minMs: 20, maxMs: 200 } };

  async function start(wanted) {
    const body = JSON.stringify(wanted);
    const answer = await fetch(`${web}/tasks/paced`, {
      method: "POST",
      body,
      headers: { "Content-Type": "application/json" },
    });
    assert.equal(answer.status, 202);
    return (await answer.json()).task;
  }

  /** Watch a task for the length of a test. */
  function follow(test, client, id, options) {
    const events = [];
    const watched = client.watch(id, { onEvent: (event) => events.push(event), ...options });
    test.after(watched.subscribe(() => {}));
    return { watched, events, now: watched.getSnapshot };
  }

  function clientOf(test, options) {
    const client = createClient({ baseUrl: `${web}/headway`, ...quick, ...options });
    test.after(() => client.close());
    return client;
  }

  /** After each snapshot events come once and in order. */
  function assertWhole(events) {
    let last = null;
    for (const { type, cursor } of events) {
      if (!cursor) continue;
      const seq = parseInt(cursor, 10);
      if (type !== "snapshot" && last !== null) assert.equal(seq, last + 1);
      last = seq;
    }
  }

  /** What the server itself says of the state, without the fields only a page has. */
  async function assertTrue(id, watched) {
    const said = await (await fetch(`${web}/headway/tasks/${id}`)).json();
    const shown = watched.getSnapshot();
    assert.deepEqual(Object.fromEntries(Object.keys(said).map((field) => [field, shown[field]])), said);
  }

  await t.test("a task is watched from its beginning to its end", async (t) => {
    const id = await start({ stages: 3, steps: 10, seconds: 1 });
    const { watched, events, now } = follow(t, clientOf(t), id);
    const { status, progress, stages, gap } = await watched.done;
    assert.deepEqual([status, progress, gap], ["succeeded", 1, null]);
    assert.deepEqual(
      stages.map((stage) => stage.status),
      ["done", "done", "done"],
    );
    assert.deepEqual([now().link, now().server_live, now().stalled, now().link_error], ["closed", true, false, null]);
    assert.ok(Math.abs(now().clock_offset) < 2);
    assertWhole(events);
    assert.ok(events.some(({ type }) => type === "stage"));
    await assertTrue(id, watched);
  });

  await t.test("every field of the state is known here, and none besides", async () => {
    const id = await start({ stages: 1, steps: 1, seconds: 0 });
    const client = clientOf(t);
    await client.watch(id).done;
    const said = await (await fetch(`${web}/headway/tasks/${id}`)).json();
    const { cursor, gap, server_live, clock_offset, connected, link, link_error, reconnecting, retry_in_ms, ...state } =
      client.watch("x").getServerSnapshot();
    assert.deepEqual(Object.keys(state).sort(), Object.keys(said).sort());
    const stage = (await client.watch(id).done).stages[0];
    assert.deepEqual(Object.keys(stage).sort(), Object.keys(said.stages[0]).sort());
  });

  await t.test("a task that fails says where", async (t) => {
    const id = await start({ stages: 3, steps: 2, seconds: 0.2, fail_at: 2 });
    const { status, error, stages } = await follow(t, clientOf(t), id).watched.done;
    assert.equal(status, "failed");
    assert.equal(error.stage, stages[1].key);
    assert.equal(stages[1].status, "failed");
  });

  await t.test("who comes after the end has it at once, in one request", async (t) => {
    const id = await start({ stages: 1, steps: 1, seconds: 0 });
    await follow(t, clientOf(t), id).watched.done;
    let requests = 0;
    const counting = (...args) => (requests++, fetch(...args));
    const late = follow(t, clientOf(t, { fetch: counting }), id);
    assert.equal((await late.watched.done).status, "succeeded");
    assert.deepEqual(
      late.events.map(({ type }) => type),
      ["snapshot"],
    );
    const again = follow(t, clientOf(t, { fetch: counting }), id, { initialState: { cursor: late.now().cursor } });
    await until(() => again.now().link === "closed");
    assert.deepEqual(again.events, []);
    assert.equal(requests, 2);
  });

  await t.test("a cursor of 0 asks for all there was", async (t) => {
    const id = await start({ stages: 2, steps: 4, seconds: 0.3 });
    const live = follow(t, clientOf(t), id);
    await live.watched.done;
    const all = follow(t, clientOf(t), id, { initialState: { cursor: "0" } });
    await all.watched.done;
    const numbers = all.events.flatMap(({ cursor }) => (cursor ? [parseInt(cursor, 10)] : []));
    assert.deepEqual(
      numbers,
      numbers.map((_, n) => n + 1),
    );
    assert.ok(numbers.length > 4);
    await assertTrue(id, all.watched);
  });

  await t.test("many tasks are watched over one connection, by GET and by POST", async (t) => {
    const asked = [];
    const noting = (url, options) => (asked.push(options.method ?? "GET"), fetch(url, options));
    const ids = await Promise.all(Array.from({ length: 40 }, () => start({ stages: 1, steps: 2, seconds: 0.2 })));
    const client = clientOf(t, { fetch: noting });
    const shown = ids.map((id) => follow(t, client, id));
    const ended = await Promise.all(shown.map(({ watched }) => watched.done));
    assert.ok(ended.every(({ status }) => status === "succeeded"));
    for (const { events } of shown) assertWhole(events);
    assert.deepEqual(asked, ["GET"].concat(asked.slice(1)));
    const two = clientOf(t, { fetch: noting });
    const before = asked.length;
    const more = await Promise.all(Array.from({ length: 60 }, () => start({ stages: 1, steps: 1, seconds: 0 })));
    await Promise.all(more.map((id) => follow(t, two, id).watched.done));
    assert.deepEqual(asked.slice(before), ["POST"]);
  });

  await t.test("one that nobody knows is refused, the others go on", async (t) => {
    const id = await start({ stages: 1, steps: 5, seconds: 0.5 });
    const client = clientOf(t);
    const [known, unknown] = [follow(t, client, id), follow(t, client, "nobody")];
    await assert.rejects(unknown.watched.done, ({ link_error }) => link_error.status === 404);
    assert.equal((await known.watched.done).status, "succeeded");
  });

  await t.test("tasks added while others are watched lose nothing", async (t) => {
    const client = clientOf(t);
    const shown = [];
    for (let n = 0; n < 6; n++) {
      shown.push(follow(t, client, await start({ stages: 2, steps: 20, seconds: 1.5 })));
      await new Promise((resolve) => setTimeout(resolve, 120));
    }
    await Promise.all(shown.map(({ watched }) => watched.done));
    for (const { events, now } of shown) {
      assertWhole(events);
      assert.equal(now().gap, null);
      assert.equal(events.filter(({ type }) => type === "snapshot").length, 1);
    }
  });

  await t.test("a server that is killed, and comes back, costs no event", async (t) => {
    const id = await start({ stages: 3, steps: 60, seconds: 8 });
    const { watched, events, now } = follow(t, clientOf(t), id);
    await until(() => now().connected && now().status === "running");
    for (let n = 0; n < 2; n++) {
      await told("kill");
      await until(() => now().reconnecting);
      assert.equal(now().status, "running");
      await told("start");
      await until(() => now().connected, "connected again", 10_000);
    }
    const { status, gap } = await watched.done;
    assert.deepEqual([status, gap], ["succeeded", null]);
    assertWhole(events);
    assert.equal(events.filter(({ type }) => type === "snapshot").length, 1);
    await assertTrue(id, watched);
  });

  await t.test("a route of one's own has its own rules, and needs no token", async (t) => {
    const id = await start({ stages: 1, steps: 2, seconds: 0.3 });
    const url = `${own}/documents/${id}/stream`;
    const client = clientOf(t);
    await assert.rejects(client.watch("report.pdf", { url }).done, ({ link_error }) => link_error.status === 403);
    const mine = follow(t, clientOf(t, { token: "mine" }), "report.pdf", { url });
    const { status, task } = await mine.watched.done;
    assert.deepEqual([status, task], ["succeeded", id]);
    // One that no worker has heard of is shown as queued, which nobody confirms.
    const unheard = follow(t, clientOf(t, { token: "mine" }), "other", { url: `${own}/documents/unheard/stream` });
    await until(() => unheard.now().connected);
    assert.deepEqual([unheard.now().status, unheard.now().confirmed, unheard.now().cursor], ["queued", false, null]);
    // Headway's own routes of that site serve nobody.
    const refused = createClient({ baseUrl: `${own}/headway`, ...quick });
    await assert.rejects(refused.watch(id).done, ({ link_error }) => link_error.status === 401);
  });

  await t.test("when the server loses its Redis it says so, and when it has it back", async (t) => {
    const id = await start({ stages: 1, steps: 4, seconds: 20 });
    const { now } = follow(t, clientOf(t), id);
    await until(() => now().connected && now().status === "running");
    await told("stop redis");
    await until(() => now().server_live === false, "it is told", 10_000);
    assert.equal(now().status, "running");
    await told("start redis");
    await until(() => now().server_live, "it is back", 15_000);
  });
});
