// What watches a task: the store, the iterator, the promise, and how they end.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createClient, initialState, watch } from "../../headway/static/headway.js";
import { bare, frame, holding, pause, problem, serve, until } from "./site.js";

const QUICK = { retry: { minMs: 5, maxMs: 20 } };

/** A site with a running task "a", and a client of it. */
async function begin(test, options = {}) {
  const site = await serve(test);
  site.start("a");
  const client = createClient({ baseUrl: site.base, ...QUICK, ...options });
  test.after(() => client.close());
  return { site, client };
}

/** Subscribe for the length of the test. */
function follow(test, watched) {
  let told = 0;
  test.after(watched.subscribe(() => told++));
  return { told: () => told, now: watched.getSnapshot };
}

/** What nobody catches while the test runs: the page's own mistakes, which must be seen. */
function uncaught(test) {
  const thrown = [];
  const others = process.listeners("uncaughtException"); // the test runner's
  process.removeAllListeners("uncaughtException").on("uncaughtException", ({ message }) => thrown.push(message));
  test.after(() => {
    process.removeAllListeners("uncaughtException");
    for (const other of others) process.on("uncaughtException", other);
  });
  return thrown;
}

test("before anybody subscribes nothing is connected", async (t) => {
  const { site, client } = await begin(t);
  const watched = client.watch("a");
  await pause(120);
  assert.equal(site.requests.length, 0);
  const { clock_offset, connected, link, link_error, reconnecting, retry_in_ms, ...state } = watched.getSnapshot();
  assert.deepEqual(state, initialState("a"));
  assert.deepEqual(
    [link, connected, reconnecting, retry_in_ms, link_error, clock_offset],
    ["idle", false, false, null, null, 0],
  );
});

test("a store shows the state, and what becomes of it", async (t) => {
  const { site, client } = await begin(t);
  const { now } = follow(t, client.watch("a"));
  assert.equal(now().link, "connecting");
  await until(() => now().confirmed);
  assert.equal(now().status, "running");
  assert.equal(now().link, "open");
  assert.ok(now().connected);
  assert.equal(now().cursor, site.journals.get("a").last);
  site.message("a", "hello");
  await until(() => now().message === "hello");
  assert.equal(now().cursor, "3-1002");
  site.end("a", { words: 5 });
  await until(() => now().status === "succeeded");
  assert.deepEqual(now().result, { words: 5 });
  assert.deepEqual([now().link, now().connected, now().link_error], ["closed", false, null]);
});

test("after its end a task is not asked for again", async (t) => {
  const { site, client } = await begin(t);
  const watched = client.watch("a");
  const { now } = follow(t, watched);
  await until(() => now().connected);
  site.end("a");
  await until(() => now().link === "closed");
  await pause(150);
  assert.equal(site.requests.length, 1);
  follow(t, client.watch("a"));
  await pause(120);
  assert.equal(site.requests.length, 1);
});

test("a snapshot is the same object until something changes, and never changes itself", async (t) => {
  const { site, client } = await begin(t);
  const watched = client.watch("a");
  const { now, told } = follow(t, watched);
  await until(() => now().connected && now().confirmed);
  await pause(20);
  const before = now();
  const copy = structuredClone(before);
  const count = told();
  await pause(50);
  assert.equal(now(), before);
  assert.equal(told(), count);
  site.message("a", "news");
  await until(() => now() !== before);
  assert.deepEqual(before, copy);
  assert.deepEqual(now(), { ...before, message: "news", cursor: "3-1002", updated_at: now().updated_at });
});

test("listeners hear once of all that comes at once", async (t) => {
  const { site, client } = await begin(t);
  const { now, told } = follow(t, client.watch("a"));
  await until(() => now().connected && now().confirmed);
  await pause(20);
  const before = told();
  site.server.closeAllConnections; // one write brings them all
  const [viewer] = site.viewers;
  viewer.response.cork();
  for (let n = 0; n < 500; n++) site.message("a", `step ${n}`);
  viewer.response.uncork();
  await until(() => now().message === "step 499");
  assert.ok(told() - before < 50, `${told() - before} times`);
});

test("subscribe, getSnapshot and the rest need no `this`", async (t) => {
  const { client } = await begin(t);
  const { subscribe, getSnapshot, getServerSnapshot, close, reconnect } = client.watch("a");
  const stop = subscribe(() => {});
  await until(() => getSnapshot().confirmed);
  assert.equal(getServerSnapshot().confirmed, false);
  assert.equal(getServerSnapshot(), getServerSnapshot());
  reconnect();
  stop();
  close();
});

test("what one listener throws does not keep the others from hearing", async (t) => {
  const { site, client } = await begin(t);
  const thrown = uncaught(t);
  const watched = client.watch("a");
  let broken = true;
  t.after(
    watched.subscribe(() => {
      if (!broken) return;
      broken = false;
      throw new Error("mine");
    }),
  );
  const { now, told } = follow(t, watched);
  await until(() => now().confirmed);
  assert.ok(told() > 0);
  assert.deepEqual(thrown, ["mine"]);
  assert.equal(site.requests.length, 1);
});

test("the same function may subscribe twice", async (t) => {
  const { site, client } = await begin(t);
  const watched = client.watch("a");
  let told = 0;
  const count = () => told++;
  const first = watched.subscribe(count);
  const second = watched.subscribe(count);
  await until(() => watched.getSnapshot().confirmed);
  first();
  first();
  await pause(20);
  const before = told;
  site.message("a", "x");
  await until(() => told > before);
  second();
});

test("a second watch of a task shares its state and its connection", async (t) => {
  const { site, client } = await begin(t);
  const one = follow(t, client.watch("a"));
  await until(() => one.now().confirmed);
  const other = client.watch("a");
  assert.equal(other.getSnapshot(), one.now());
  follow(t, other);
  await pause(120);
  assert.equal(site.requests.length, 1);
  one.now();
});

test("when the last has left, the connection ends a second later; who comes back in time keeps it", async (t) => {
  const { site, client } = await begin(t);
  const watched = client.watch("a");
  const stop = watched.subscribe(() => {});
  await until(() => watched.getSnapshot().confirmed);
  stop();
  const again = watched.subscribe(() => {});
  await pause(1300);
  assert.equal(site.open.length, 1);
  assert.equal(site.requests.length, 1);
  again();
  await pause(500);
  assert.equal(site.open.length, 1);
  await until(() => site.open.length === 0);
  assert.equal(watched.getSnapshot().link, "idle");
  assert.equal(watched.getSnapshot().status, "running");
});

test("who comes back later goes on where it was", async (t) => {
  const { site, client } = await begin(t);
  const events = [];
  const watched = client.watch("a", { onEvent: (event) => events.push(event.cursor) });
  const stop = watched.subscribe(() => {});
  await until(() => watched.getSnapshot().confirmed);
  stop();
  await until(() => site.open.length === 0);
  site.message("a", "meanwhile");
  const { now } = follow(t, watched);
  await until(() => now().message === "meanwhile");
  assert.equal(site.requests[1].headers["last-event-id"], "2-1001");
  assert.equal(now().gap, null);
  assert.deepEqual(events.filter(Boolean), ["2-1001", "3-1002"]);
});

describe("onEvent", () => {
  test("hears every event once and in order, emitted ones and the stream's own", async (t) => {
    const { site, client } = await begin(t);
    const events = [];
    const watched = client.watch("a", { onEvent: (event) => events.push(event) });
    const { now } = follow(t, watched);
    await until(() => now().confirmed);
    site.say("a", { type: "emitted", name: "token", data: { text: "é" } }, { type: "message", message: "m" });
    site.cut();
    site.say("a", { type: "emitted", name: "token", data: { text: "2" } });
    site.end("a");
    await until(() => now().status === "succeeded");
    const numbered = events.filter(({ cursor }) => cursor).map(({ cursor }) => parseInt(cursor, 10));
    assert.deepEqual(numbered, [2, 3, 4, 5, 6]);
    assert.deepEqual(
      events.filter(({ type }) => type === "emitted").map(({ data }) => data.text),
      ["é", "2"],
    );
    assert.ok(events.some(({ type }) => type === "link"));
    assert.equal(events[0].type, "snapshot");
  });

  test("of an emitted event the state only learns that there was one", async (t) => {
    const { site, client } = await begin(t);
    const { now } = follow(t, client.watch("a"));
    await until(() => now().confirmed);
    const before = now();
    site.say("a", { type: "emitted", name: "token", data: 1, at: before.updated_at });
    await until(() => now().cursor === "3-1002");
    assert.deepEqual({ ...now(), cursor: null }, { ...before, cursor: null });
  });

  test("may throw without harm to the stream", async (t) => {
    const { site, client } = await begin(t);
    const thrown = uncaught(t);
    const watched = client.watch("a", {
      onEvent({ type }) {
        throw new Error(type);
      },
    });
    const { now } = follow(t, watched);
    await until(() => now().confirmed);
    site.end("a");
    await until(() => now().link === "closed");
    assert.equal(site.requests.length, 1);
    assert.deepEqual(thrown, ["snapshot", "link", "finished"]);
  });
});

describe("done", () => {
  test("is the state at the end, and is enough to watch", async (t) => {
    const { site, client } = await begin(t);
    const { done } = client.watch("a");
    await until(() => site.open.length);
    site.end("a", 7);
    const state = await done;
    assert.equal(state.status, "succeeded");
    assert.equal(state.result, 7);
    assert.equal(state.link, "closed");
  });

  test("is the same promise each time", async (t) => {
    const { site, client } = await begin(t);
    const watched = client.watch("a");
    assert.equal(watched.done, watched.done);
    site.end("a");
    await watched.done;
  });

  test("a task that failed is a result like any other", async (t) => {
    const { site, client } = await begin(t);
    const { done } = client.watch("a");
    site.say("a", { type: "finished", status: "failed", error: { type: "Failure", message: "the disk is full" } });
    const state = await done;
    assert.equal(state.status, "failed");
    assert.deepEqual(state.error, { type: "Failure", message: "the disk is full", stage: null });
  });

  test("of a task that had ended before is there at once", async (t) => {
    const { site, client } = await begin(t);
    site.end("a", 1);
    assert.equal((await client.watch("a").done).result, 1);
    await until(() => !site.open.length);
    assert.equal(site.requests.length, 1);
  });

  test("is rejected by close()", async (t) => {
    const { client } = await begin(t);
    const watched = client.watch("a");
    const { done } = watched;
    queueMicrotask(watched.close);
    await assert.rejects(done, { name: "AbortError" });
  });

  test("is rejected by an abort, with its reason", async (t) => {
    const { site, client } = await begin(t);
    const aborter = new AbortController();
    const { done } = client.watch("a", { signal: aborter.signal });
    await until(() => site.open.length);
    aborter.abort(new Error("enough"));
    await assert.rejects(done, /enough/);
    await until(() => !site.open.length);
  });

  test("is rejected at once when the signal was aborted before", async (t) => {
    const { site, client } = await begin(t);
    await assert.rejects(client.watch("a", { signal: AbortSignal.abort() }).done, { name: "AbortError" });
    await pause(100);
    assert.equal(site.requests.length, 0);
  });

  test("is rejected when the server refuses, and says what it answered", async (t) => {
    const { client } = await begin(t);
    await assert.rejects(client.watch("nobody").done, (error) => {
      assert.deepEqual(error.link_error, { status: 404, code: "not_found", message: "There is no such task." });
      assert.equal(error.message, "There is no such task.");
      return true;
    });
  });

  test("is rejected when its client is closed", async (t) => {
    const { site, client } = await begin(t);
    const { done } = client.watch("a");
    await until(() => site.open.length);
    client.close();
    await assert.rejects(done, { name: "AbortError" });
    await until(() => !site.open.length);
  });
});

describe("the iterator", () => {
  test("gives the latest state until the end", async (t) => {
    const { site, client } = await begin(t);
    const statuses = [];
    for await (const { status, link, confirmed } of client.watch("a")) {
      if (confirmed && link === "open" && !statuses.length) {
        statuses.push(status);
        site.end("a");
      }
      if (status === "succeeded") statuses.push(status);
    }
    assert.deepEqual(statuses.slice(0, 2), ["running", "succeeded"]);
  });

  test("is conflated: who is slow misses what is in between, never the last", async (t) => {
    const { site, client } = await begin(t);
    const seen = [];
    for await (const { message, confirmed, status } of client.watch("a")) {
      if (!confirmed) continue;
      seen.push(message);
      if (seen.length === 1) {
        for (let n = 0; n < 300; n++) site.message("a", `step ${n}`);
        site.end("a");
        await pause(300);
      }
      if (status === "succeeded") assert.equal(message, "step 299");
    }
    assert.ok(seen.length < 10, `${seen.length} states`);
    assert.equal(seen.at(-1), "step 299");
  });

  test("leaving the loop ends the watch", async (t) => {
    const { site, client } = await begin(t);
    const watched = client.watch("a");
    for await (const { confirmed } of watched) if (confirmed) break;
    assert.equal(site.open.length, 1);
    await until(() => site.open.length === 0);
    assert.equal(watched.getSnapshot().link, "idle");
  });

  test("an abort ends the loop", async (t) => {
    const { site, client } = await begin(t);
    const aborter = new AbortController();
    let last;
    for await (last of client.watch("a", { signal: aborter.signal })) if (last.confirmed) aborter.abort();
    assert.equal(last.link, "closed");
    assert.equal(last.status, "running");
    await until(() => !site.open.length);
  });

  test("a refusal is thrown", async (t) => {
    const { client } = await begin(t);
    await assert.rejects(async () => {
      for await (const _ of client.watch("nobody"));
    }, /There is no such task/);
  });

  test("several may go on at once", async (t) => {
    const { site, client } = await begin(t);
    const watched = client.watch("a");
    const end = async () => {
      let last;
      for await (last of watched);
      return last.status;
    };
    const ends = [end(), end(), watched.done.then(({ status }) => status)];
    await until(() => site.open.length);
    site.end("a");
    assert.deepEqual(await Promise.all(ends), ["succeeded", "succeeded", "succeeded"]);
    assert.equal(site.requests.length, 1);
  });
});

describe("close and reconnect", () => {
  test("a closed watch shows what was known, and connects no more", async (t) => {
    const { site, client } = await begin(t);
    const watched = client.watch("a");
    const { now, told } = follow(t, watched);
    await until(() => now().confirmed);
    await pause(10);
    const before = told();
    watched.close();
    watched.close();
    assert.equal(told(), before + 1);
    assert.deepEqual([now().link, now().status, now().connected], ["closed", "running", false]);
    assert.equal(now(), now());
    follow(t, watched);
    await until(() => !site.open.length);
    await pause(100);
    assert.equal(site.requests.length, 1);
  });

  test("closing one watch leaves another of the same task alone", async (t) => {
    const { site, client } = await begin(t);
    const [one, other] = [client.watch("a"), client.watch("a")];
    const [first, second] = [follow(t, one), follow(t, other)];
    await until(() => first.now().confirmed);
    one.close();
    await pause(100);
    site.message("a", "still");
    await until(() => second.now().message === "still");
    assert.equal(first.now().message, null);
    assert.equal(site.requests.length, 1);
  });

  test("reconnect opens it again, where it was", async (t) => {
    const { site, client } = await begin(t);
    const watched = client.watch("a");
    const { now } = follow(t, watched);
    await until(() => now().confirmed);
    watched.close();
    await until(() => !site.open.length);
    watched.reconnect();
    await until(() => now().connected);
    assert.equal(site.requests[1].headers["last-event-id"], "2-1001");
  });

  test("reconnect after a refusal asks once more", async (t) => {
    const { site, client } = await begin(t);
    const watched = client.watch("late");
    const { now } = follow(t, watched);
    await until(() => now().link_error);
    await assert.rejects(watched.done);
    site.start("late");
    watched.reconnect();
    await until(() => now().connected);
    assert.equal(now().link_error, null);
    const { done } = watched;
    site.end("late");
    assert.equal((await done).status, "succeeded");
  });

  test("reconnect of a living connection makes the new one before it breaks the old", async (t) => {
    const { site, client } = await begin(t);
    const watched = client.watch("a");
    const links = new Set();
    const { now } = follow(t, watched);
    await until(() => now().confirmed && now().connected);
    t.after(watched.subscribe(() => links.add(now().link)));
    watched.reconnect();
    await until(() => site.requests.length === 2 && site.open.length === 1);
    site.message("a", "x");
    await until(() => now().message === "x");
    assert.deepEqual([...links], ["open"]);
    assert.ok(!site.requests[0].open);
  });
});

describe("what is known before", () => {
  test("is shown at first, and replaced by what the server says", async (t) => {
    const { site, client } = await begin(t);
    const seed = { task: "a", status: "running", title: "report.pdf", progress: 0.5 };
    const watched = client.watch("a", { initialState: seed });
    assert.equal(watched.getServerSnapshot().title, "report.pdf");
    assert.equal(watched.getSnapshot().progress, 0.5);
    assert.deepEqual(watched.getSnapshot().stages, []);
    const { now } = follow(t, watched);
    await until(() => now().confirmed);
    assert.equal(now().title, null);
    assert.equal(site.requests[0].headers["last-event-id"], undefined);
  });

  test("a task that is known to have ended is not asked for", async (t) => {
    const { site, client } = await begin(t);
    const watched = client.watch("a", { initialState: { status: "failed", confirmed: true } });
    follow(t, watched);
    assert.equal((await watched.done).status, "failed");
    await pause(100);
    assert.equal(site.requests.length, 0);
    assert.equal(watched.getSnapshot().link, "closed");
  });

  test("a cursor of 0 asks for all there was", async (t) => {
    const { site, client } = await begin(t);
    site.say("a", { type: "emitted", name: "token", data: "one" }, { type: "emitted", name: "token", data: "two" });
    const tokens = [];
    const onEvent = ({ type, data }) => type === "emitted" && tokens.push(data);
    const { now } = follow(t, client.watch("a", { initialState: { cursor: "0" }, onEvent }));
    await until(() => tokens.length === 2);
    assert.equal(site.requests[0].headers["last-event-id"], "0");
    assert.deepEqual(tokens, ["one", "two"]);
    assert.equal(now().status, "running");
  });

  test("the end that the server has said before (204) is the end", async (t) => {
    const { site, client } = await begin(t);
    site.end("a");
    const cursor = site.journals.get("a").last;
    const { now } = follow(t, client.watch("a", { initialState: { cursor, status: "running" } }));
    await until(() => now().link === "closed");
    assert.equal(now().link_error, null);
    await pause(100);
    assert.equal(site.requests.length, 1);
  });
});

describe("a route of your own", () => {
  test("is asked instead, whatever the task's id is", async (t) => {
    const { site, client } = await begin(t);
    site.script.push(
      holding(frame({ type: "snapshot", task: "1e86", at: 1, state: { task: "1e86", status: "running" } }, "1e86/2-7")),
    );
    const { now } = follow(t, client.watch("text 7", { url: `${site.url}/texts/7/stream` }));
    await until(() => now().confirmed !== undefined && now().connected && now().status === "running");
    assert.equal(now().task, "1e86");
    assert.deepEqual(site.paths, ["/texts/7/stream"]);
    site.script.push(bare(204));
    site.cut();
    await until(() => now().link === "closed");
    assert.equal(site.requests[1].headers["last-event-id"], "2-7");
    assert.equal(site.requests[1].path, "/texts/7/stream");
  });

  test("has a connection of its own, and its refusal is its own", async (t) => {
    const { site, client } = await begin(t);
    const own = follow(t, client.watch("7", { url: `${site.url}/texts/7/stream` }));
    const other = follow(t, client.watch("a"));
    site.script.push(problem(403, { detail: "Not yours.", tasks: ["x"] }), problem(403, { detail: "Not yours." }));
    await until(() => own.now().link_error);
    assert.deepEqual(own.now().link_error, { status: 403, code: "forbidden", message: "Not yours." });
    await until(() => other.now().link === "closed" || other.now().connected);
  });
});

test("the default client is shared by watches with equal options, and by no others", async (t) => {
  const site = await serve(t);
  site.start("a", "b", "c");
  const same = { baseUrl: site.base, headers: { "X-Mine": "1" } };
  const watches = [
    watch("a", { ...same, headers: { "X-Mine": "1" } }),
    watch("b", same),
    watch("c", { ...same, token: "secret" }),
  ];
  t.after(() => watches.forEach(({ close }) => close()));
  const shown = watches.map((each) => follow(t, each));
  await until(() => shown.every(({ now }) => now().confirmed));
  assert.equal(site.requests.length, 2);
  assert.deepEqual(site.paths.sort(), ["/headway/events?task=a&task=b", "/headway/tasks/c/events"]);
  assert.ok(site.requests.every(({ headers }) => headers["x-mine"] === "1"));
});

test("the server's clock may differ from this machine's", async (t) => {
  const { site, client } = await begin(t);
  const at = Date.now() / 1000 + 3600;
  site.script.push(
    holding(frame({ type: "snapshot", task: "a", at, state: { task: "a", status: "running" } }, "a/1-1")),
  );
  const { now } = follow(t, client.watch("a"));
  await until(() => now().status === "running");
  assert.ok(Math.abs(now().clock_offset - 3600) < 5, String(now().clock_offset));
});

test("importing it touches nothing of a browser", async () => {
  const { execFileSync } = await import("node:child_process");
  const file = new URL("../../headway/static/headway.js", import.meta.url).href;
  const script = `
    for (const name of ["window", "document", "localStorage", "location", "addEventListener"]) {
      Object.defineProperty(globalThis, name, { configurable: true, get() { throw new Error("touched " + name) } });
    }
    const { watch } = await import(${JSON.stringify(file)});
    console.log(watch("a").getServerSnapshot().status);
  `;
  assert.equal(execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }), "queued\n");
});
