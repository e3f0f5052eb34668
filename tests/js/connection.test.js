// One connection: what answers mean, when to come back, and when to give up.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { afterEach, describe, test } from "node:test";
import { createClient } from "../../headway/static/headway.js";
import { OPENING, bare, dropping, frame, holding, opened, pause, problem, saying, serve, until } from "./site.js";

const QUICK = { retry: { minMs: 5, maxMs: 20 } };
const CODES = { 403: "forbidden", 404: "not_found", 410: "gone" };
const SNAPSHOT = frame({ type: "snapshot", task: "a", at: 1, state: { task: "a", status: "running" } }, "a/1-1");
const FINISHED = frame({ type: "finished", task: "a", at: 2, status: "succeeded", result: 1 }, "a/2-2");

/** Watch task "a" of a site, and note every state of the link. */
async function begin(test, { script = [], always = null, ...options } = {}) {
  const site = await serve(test);
  site.start("a");
  site.script = script;
  site.always = always;
  const client = createClient({ baseUrl: site.base, ...QUICK, ...options });
  const watched = client.watch("a");
  const links = [];
  const delays = [];
  let waiting = null;
  const stop = watched.subscribe(() => {
    const { link, retry_in_ms } = watched.getSnapshot();
    if (links.at(-1) !== link) links.push(link);
    if (retry_in_ms !== null && waiting === null) delays.push(retry_in_ms);
    waiting = retry_in_ms;
  });
  test.after(() => {
    stop();
    client.close();
  });
  return { site, client, watched, now: watched.getSnapshot, links, delays };
}

describe("what is asked", () => {
  test("one task is asked for at its own address, as a stream that nobody may keep", async (t) => {
    const { site, now } = await begin(t);
    await until(() => now().connected);
    const [{ method, path, headers, body }] = site.requests;
    assert.deepEqual([method, path, body], ["GET", "/headway/tasks/a/events", ""]);
    assert.equal(headers.accept, "text/event-stream");
    assert.equal(headers["cache-control"], "no-cache");
    assert.equal(headers["last-event-id"], undefined);
    assert.equal(headers.authorization, undefined);
  });

  test("a base URL may end with a slash", async (t) => {
    const site = await serve(t);
    site.start("a");
    const client = createClient({ baseUrl: `${site.base}/` });
    t.after(client.watch("a").subscribe(() => {}));
    t.after(() => client.close());
    await until(() => site.requests.length);
    assert.deepEqual(site.paths, ["/headway/tasks/a/events"]);
  });

  test("a token goes into a header, headers of your own are added", async (t) => {
    const { site, now } = await begin(t, { token: "secret", headers: { "X-CSRFToken": "7" } });
    await until(() => now().connected);
    assert.equal(site.requests[0].headers.authorization, "Bearer secret");
    assert.equal(site.requests[0].headers["x-csrftoken"], "7");
    assert.ok(!site.requests[0].path.includes("secret"));
  });

  test("a fetch of your own is used, with credentials as you say", async (t) => {
    const asked = [];
    const mine = (url, options) => {
      asked.push(options);
      return fetch(url, options);
    };
    const { now } = await begin(t, { fetch: mine, credentials: "omit" });
    await until(() => now().connected);
    assert.equal(asked[0].credentials, "omit");
    assert.equal(asked[0].cache, "no-store");
  });

  test("what cannot be an id is not asked for", async (t) => {
    const { site, client } = await begin(t);
    for (const id of ["", "a/b", "a b", "é", "x".repeat(129), "{a}", "\ud800"]) {
      await assert.rejects(client.watch(id).done, (error) => error.link_error.status === 404, JSON.stringify(id));
    }
    assert.equal(site.requests.filter(({ path }) => path !== "/headway/tasks/a/events").length, 0);
  });
});

describe("coming back", () => {
  test("a connection that breaks is taken up where it was", async (t) => {
    const { site, now, links } = await begin(t);
    await until(() => now().connected);
    site.cut();
    site.message("a", "meanwhile");
    await until(() => now().message === "meanwhile");
    assert.equal(site.requests.length, 2);
    assert.equal(site.requests[1].headers["last-event-id"], "2-1001");
    assert.equal(now().gap, null);
    assert.deepEqual(links, ["connecting", "open", "reconnecting", "open"]);
    assert.equal(now().retry_in_ms, null);
  });

  test("a stream that ends in good order before its task is taken up as well", async (t) => {
    const { site, now } = await begin(t, { script: [saying(SNAPSHOT, "retry: 7\n")] });
    await until(() => site.requests.length === 2);
    assert.equal(site.requests[1].headers["last-event-id"], "1-1");
    await until(() => now().connected);
  });

  test("a frame that was torn does not count", async (t) => {
    const torn = FINISHED.slice(0, -1);
    const { site, now } = await begin(t, { script: [saying(SNAPSHOT, torn)] });
    await until(() => site.requests.length === 2);
    assert.equal(site.requests[1].headers["last-event-id"], "1-1");
    assert.notEqual(now().status, "succeeded");
  });

  test("a connection that is killed in the middle of a frame too", async (t) => {
    const kill = (_, response) => {
      opened(response);
      response.write(SNAPSHOT + FINISHED.slice(0, 40), () => setTimeout(() => response.destroy(), 20));
    };
    const { site, now } = await begin(t, { script: [kill, saying(FINISHED)] });
    await until(() => now().status === "succeeded");
    assert.equal(site.requests[1].headers["last-event-id"], "1-1");
    assert.equal(site.requests.length, 2);
  });

  for (const status of [408, 425, 429, 500, 502, 503, 504]) {
    test(`${status} is tried again`, async (t) => {
      const { site, now, links } = await begin(t, { script: [bare(status), bare(status)] });
      await until(() => now().connected);
      assert.equal(site.requests.length, 3);
      assert.equal(now().link_error, null);
      assert.deepEqual(links, ["connecting", "reconnecting", "open"]);
    });
  }

  test("so is a server that drops connections without a word", async (t) => {
    const { site, now } = await begin(t, { script: [dropping, dropping, dropping] });
    await until(() => now().connected);
    assert.equal(site.requests.length, 4);
  });

  test("so is one that is not there, for as long as it takes", async (t) => {
    const { site, watched, now } = await begin(t);
    await until(() => now().connected);
    const { port } = site.server.address();
    site.close();
    await until(() => now().reconnecting);
    await pause(150);
    assert.equal(now().status, "running");
    assert.equal(now().link, "reconnecting");
    await new Promise((resolve) => site.server.listen(port, "127.0.0.1", resolve));
    await until(() => watched.getSnapshot().connected);
  });

  test("delays grow, spread at random, up to their limit", async (t) => {
    const { site, delays } = await begin(t, { always: bare(500), retry: { minMs: 8, maxMs: 60 } });
    await until(() => site.requests.length === 9, "nine tries");
    assert.ok(
      delays.every((delay) => delay <= 60),
      delays.join(),
    );
    assert.ok(new Set(delays).size > 2, delays.join());
    assert.ok(delays[0] <= 8, delays.join());
  });

  test("a server that takes everybody and lets them go at once is asked ever less often", async (t) => {
    const { site } = await begin(t, { always: saying(), retry: { minMs: 20, maxMs: 10_000 } });
    await pause(600);
    assert.ok(site.requests.length < 10, `${site.requests.length} requests`);
  });

  test("after an event the delays begin anew", async (t) => {
    const script = [...Array(6).fill(bare(500)), saying(SNAPSHOT), bare(500)];
    const { site, delays, now } = await begin(t, { script, retry: { minMs: 4, maxMs: 500 } });
    await until(() => now().connected && site.requests.length === 9);
    assert.ok(
      delays.slice(-2).every((delay) => delay <= 5 + 8),
      delays.join(),
    );
  });

  test("`retry:` is the least there is to wait, within reason", async (t) => {
    const say = (retry) => (_, response) => {
      opened(response);
      response.end(`retry: ${retry}\n${SNAPSHOT}`);
    };
    const { delays } = await begin(t, { script: [say(150), say("999999999999"), say(0)] });
    await until(() => delays.length === 2);
    assert.ok(delays[0] >= 150 && delays[0] <= 156, delays.join());
    assert.ok(delays[1] >= 60_000 && delays[1] <= 60_020, delays.join());
  });

  test("a `retry:` of nothing is not taken at its word", async (t) => {
    const say = (_, response) => {
      opened(response);
      response.end(`retry: 0\n${SNAPSHOT}`);
    };
    const { delays } = await begin(t, { always: say, retry: { minMs: 30, maxMs: 30 } });
    await until(() => delays.length >= 3);
    assert.ok(
      delays.every((delay) => delay >= 30),
      delays.join(),
    );
  });

  test("`Retry-After` is the least there is to wait: seconds, or a date", async (t) => {
    const date = new Date(Date.now() + 90_000).toUTCString();
    const { delays, watched } = await begin(t, {
      script: [
        bare(503, { "Retry-After": "2" }),
        bare(429, { "Retry-After": date }),
        bare(503, { "Retry-After": "soon" }),
      ],
    });
    await until(() => delays.length === 1);
    assert.ok(delays[0] >= 2000 && delays[0] < 2010, delays.join());
    watched.reconnect(); // "retry now"
    await until(() => delays.length === 2);
    assert.ok(delays[1] > 80_000 && delays[1] <= 90_020, delays.join());
    watched.reconnect();
    await until(() => delays.length === 3);
    assert.ok(delays[2] < 30, delays.join());
  });

  test("an event after a hole is not taken: the client returns by cursor", async (t) => {
    const hole = frame({ type: "message", task: "a", at: 3, message: "third" }, "a/3-3");
    const { site, now } = await begin(t, { script: [holding(SNAPSHOT, hole), saying(FINISHED)] });
    await until(() => now().status === "succeeded");
    assert.equal(now().message, null);
    assert.equal(site.requests[1].headers["last-event-id"], "1-1");
    await until(() => !site.open.length);
  });

  test("an event of another history is one after a hole", async (t) => {
    const forked = frame({ type: "message", task: "a", at: 3, message: "other" }, "a/1-99");
    const { site, now } = await begin(t, { script: [holding(SNAPSHOT, forked), saying(FINISHED)] });
    await until(() => now().status === "succeeded");
    assert.equal(now().message, null);
    assert.equal(site.requests[1].headers["last-event-id"], "1-1");
  });

  test("events that come twice are taken once", async (t) => {
    const second = frame({ type: "emitted", task: "a", at: 3, name: "token", data: 1 }, "a/2-2");
    const site = await serve(t);
    site.script.push(holding(SNAPSHOT, second, second, SNAPSHOT.replace("snapshot", "message"), second));
    const client = createClient({ baseUrl: site.base });
    t.after(() => client.close());
    const seen = [];
    const watched = client.watch("a", { onEvent: ({ cursor }) => seen.push(cursor) });
    t.after(watched.subscribe(() => {}));
    await until(() => seen.length === 2);
    await pause(30);
    assert.deepEqual(seen, ["1-1", "2-2"]);
    assert.equal(site.requests.length, 1);
  });

  test("a gap is shown, and what the snapshot says is the truth", async (t) => {
    const gap = { reason: "trimmed", first: 2, last: 8 };
    const late = frame({ type: "snapshot", task: "a", at: 9, gap, state: { task: "a", status: "retrying" } }, "a/9-9");
    const next = frame({ type: "message", task: "a", at: 10, message: "on" }, "a/10-10");
    const { now } = await begin(t, { script: [saying(SNAPSHOT), holding(late, next)] });
    await until(() => now().message === "on");
    assert.deepEqual(now().gap, gap);
    assert.equal(now().status, "retrying");
    assert.equal(now().cursor, "10-10");
  });
});

describe("giving up", () => {
  for (const status of [400, 403, 404, 405, 410, 418]) {
    test(`${status} is final, and its reason is shown`, async (t) => {
      const { site, now, links } = await begin(t, { always: problem(status, { title: "No", detail: "Mend it so." }) });
      await until(() => now().link === "closed");
      assert.deepEqual(now().link_error, { status, code: CODES[status] ?? "refused", message: "Mend it so." });
      await pause(80);
      assert.equal(site.requests.length, 1);
      assert.deepEqual(links, ["connecting", "closed"]);
      assert.deepEqual([now().connected, now().reconnecting, now().retry_in_ms], [false, false, null]);
    });
  }

  test("a refusal without a reason is shown as its status", async (t) => {
    const { now } = await begin(t, { always: (_, response) => response.writeHead(403).end("<h1>No</h1>") });
    await until(() => now().link_error);
    assert.equal(now().link_error.status, 403);
    assert.match(now().link_error.message, /403/);
  });

  test("a page in the stream's place, such as a login, is final", async (t) => {
    const page = (_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<form>");
    const { now, site } = await begin(t, { always: page });
    await until(() => now().link_error);
    assert.equal(now().link_error.status, 200);
    assert.equal(now().link_error.code, "not_a_stream");
    await pause(50);
    assert.equal(site.requests.length, 1);
  });

  test("a refusal after a good time is final as well, and what was known stays", async (t) => {
    const { site, now } = await begin(t, { script: [saying(SNAPSHOT)], always: problem(410, { detail: "Gone." }) });
    await until(() => now().link_error);
    assert.equal(now().status, "running");
    assert.equal(site.requests.length, 2);
  });

  test("redirects are followed", async (t) => {
    const { now } = await begin(t, { script: [bare(307, { Location: "/headway/tasks/a/events" })] });
    await until(() => now().connected);
  });
});

describe("tokens", () => {
  test("a function is asked before each connection", async (t) => {
    let n = 0;
    const { site, now } = await begin(t, { token: async () => `token ${++n}` });
    await until(() => now().connected);
    site.cut();
    await until(() => site.requests.length === 2 && now().connected);
    assert.deepEqual(
      site.requests.map(({ headers }) => headers.authorization),
      ["Bearer token 1", "Bearer token 2"],
    );
  });

  test("after a 401 it is asked once more, and told so", async (t) => {
    const asked = [];
    const token = (refused) => asked.push(refused) && `token ${asked.length}`;
    const { site, now, links } = await begin(t, { token, script: [bare(401)] });
    await until(() => now().connected);
    assert.deepEqual(asked, [false, true]);
    assert.equal(site.requests[1].headers.authorization, "Bearer token 2");
    assert.deepEqual(links, ["connecting", "open"]);
  });

  test("two in a row are final", async (t) => {
    const { site, now } = await begin(t, { token: () => "stale", always: problem(401, { detail: "Log in." }) });
    await until(() => now().link_error);
    assert.deepEqual(now().link_error, { status: 401, code: "unauthorized", message: "Log in." });
    await pause(50);
    assert.equal(site.requests.length, 2);
  });

  test("a token that cannot be renewed is refused once", async (t) => {
    const { site, now } = await begin(t, { token: "stale", always: bare(401) });
    await until(() => now().link_error);
    assert.equal(site.requests.length, 1);
  });

  test("a function that fails is tried again like a network that does", async (t) => {
    let n = 0;
    const token = async () => {
      if (++n < 3) throw new Error("no network");
      return "good";
    };
    const { site, now, links } = await begin(t, { token });
    await until(() => now().connected);
    assert.equal(site.requests.length, 1);
    assert.deepEqual(links, ["connecting", "reconnecting", "open"]);
  });

  test("no token is sent when it gives none", async (t) => {
    const { site, now } = await begin(t, { token: () => null });
    await until(() => now().connected);
    assert.equal(site.requests[0].headers.authorization, undefined);
  });
});

describe("silence", () => {
  test("a connection silent for too long is given up and taken up anew", async (t) => {
    const { site, now, links } = await begin(t, { script: [holding(SNAPSHOT)], silenceMs: 80 });
    await until(() => site.requests.length === 2);
    await until(() => !site.requests[0].open);
    assert.equal(site.requests[1].headers["last-event-id"], "1-1");
    assert.ok(links.includes("reconnecting"));
    await until(() => now().connected);
  });

  test("three of the server's heartbeats are too long", async (t) => {
    const quick = (_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(`retry: 5\n:heartbeat 0.05\n${SNAPSHOT}`);
    };
    const { site, now } = await begin(t, { script: [quick] });
    await until(() => now().connected);
    const heard = Date.now();
    await until(() => site.requests.length === 2);
    assert.ok(Date.now() - heard > 100, `${Date.now() - heard} ms`);
  });

  test("heartbeats are signs of life", async (t) => {
    let beats;
    const beating = (_, response) => {
      opened(response);
      response.write(SNAPSHOT);
      beats = setInterval(() => response.write(":\n"), 30);
    };
    const { site, now } = await begin(t, { script: [beating], silenceMs: 150 });
    t.after(() => clearInterval(beats));
    await pause(500);
    assert.equal(site.requests.length, 1);
    assert.ok(now().connected);
  });

  test("what comes after the end is not listened to, nor is there a silence to mind", async (t) => {
    const { site, now } = await begin(t, {
      script: [holding(SNAPSHOT + FINISHED + ":\n:heartbeat 0.01\n")],
      silenceMs: 50,
    });
    await until(() => now().link === "closed" && !site.open.length);
    await pause(120);
    assert.equal(site.requests.length, 1);
  });

  test("a server that takes the request and never answers is given up too", async (t) => {
    const { site, now } = await begin(t, { script: [() => {}], silenceMs: 60 });
    await until(() => now().connected);
    assert.equal(site.requests.length, 2);
  });

  test("so is one that says it is a stream and says no more", async (t) => {
    const mute = (_, response) => response.writeHead(200, { "Content-Type": "text/event-stream" }).flushHeaders();
    const { site, now, links } = await begin(t, { script: [mute], silenceMs: 60 });
    await until(() => now().connected);
    assert.equal(site.requests.length, 2);
    assert.deepEqual(links, ["connecting", "reconnecting", "open"]);
  });

  test("a clock that jumps ahead, as after a sleep, is silence", async (t) => {
    const { site, now } = await begin(t, { silenceMs: 3000 });
    await until(() => now().connected);
    const real = Date.now;
    t.after(() => (Date.now = real));
    Date.now = () => real() + 3_600_000;
    await until(() => site.requests.length === 2, "another connection", 6000);
  });
});

describe("what a server may send", () => {
  test("a line without end is given up at a megabyte, and tried again", async (t) => {
    let sent = 0;
    const endless = (_, response) => {
      opened(response);
      response.write("data: ");
      const more = () => {
        if (response.destroyed) return;
        sent += 65536;
        response.write("x".repeat(65536), () => setImmediate(more));
      };
      more();
    };
    const { site, now } = await begin(t, { script: [endless] });
    await until(() => now().connected && site.requests.length === 2);
    assert.ok(sent < 8 * 2 ** 20, `${sent} bytes`);
  });

  test("what is no JSON, and JSON that is no event, is passed over", async (t) => {
    const odd = [
      "data: hello\n\n",
      "data: 7\n\n",
      "data: null\n\n",
      "data: []\n\n",
      'data: {"type":null}\n\n',
      "event: x\ndata\n\n",
    ];
    const site = await serve(t);
    site.script.push(holding(...odd, SNAPSHOT, ...odd, FINISHED));
    const client = createClient({ baseUrl: site.base });
    const types = [];
    await client.watch("a", { onEvent: ({ type }) => types.push(type) }).done;
    assert.equal(site.requests.length, 1);
    assert.deepEqual(types, ["snapshot", "finished"]);
  });

  test("ids that are no cursors are none", async (t) => {
    const odd = frame({ type: "message", task: "a", at: 3, message: "x" }, "nonsense");
    const { site } = await begin(t, { script: [saying(SNAPSHOT, odd)] });
    await until(() => site.requests.length === 2);
    assert.equal(site.requests[1].headers["last-event-id"], "1-1");
  });

  test("bytes may come one by one", async (t) => {
    const bytes = Buffer.from(OPENING + SNAPSHOT + FINISHED);
    const drip = async (_, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      for (const byte of bytes) {
        response.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      response.end();
    };
    const { site, now } = await begin(t, { script: [drip] });
    await until(() => now().status === "succeeded");
    assert.equal(site.requests.length, 1);
  });

  test("an answer that is no HTTP is tried again", async (t) => {
    const server = createServer((socket) => socket.end("SSH-2.0-nonsense\r\n"));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const client = createClient({ baseUrl: `http://127.0.0.1:${server.address().port}`, ...QUICK });
    t.after(() => client.close());
    const watched = client.watch("a");
    t.after(watched.subscribe(() => {}));
    await until(() => watched.getSnapshot().reconnecting);
  });
});

describe("a page's life", () => {
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  const tell = (type, more) => page.dispatchEvent(Object.assign(new Event(type), more));
  afterEach(() => {
    delete globalThis.document;
    delete globalThis.navigator;
  });

  test("put away, it has no connection; brought back, it goes on where it was", async (t) => {
    const { site, now } = await begin(t);
    await until(() => now().connected);
    tell("pagehide", { persisted: true });
    await until(() => !site.open.length);
    site.message("a", "meanwhile");
    await pause(60);
    assert.equal(site.requests.length, 1);
    tell("pageshow", { persisted: true });
    await until(() => now().message === "meanwhile");
    assert.equal(site.requests.length, 2);
    assert.equal(site.requests[1].headers["last-event-id"], "2-1001");
  });

  test("out of sight it keeps its connection", async (t) => {
    const { site, now } = await begin(t);
    await until(() => now().connected);
    globalThis.document = { visibilityState: "hidden" };
    tell("visibilitychange");
    await pause(60);
    globalThis.document = { visibilityState: "visible" };
    tell("visibilitychange");
    tell("pageshow", { persisted: false });
    tell("resume");
    await pause(60);
    assert.equal(site.requests.length, 1);
    assert.ok(now().connected);
  });

  test("seen again, it does not wait for the next try", async (t) => {
    const { site, now } = await begin(t, { script: [bare(503, { "Retry-After": "500" })] });
    await until(() => now().reconnecting && now().retry_in_ms > 400_000);
    globalThis.document = { visibilityState: "hidden" };
    tell("visibilitychange");
    await pause(40);
    assert.equal(site.requests.length, 1);
    globalThis.document = { visibilityState: "visible" };
    tell("visibilitychange");
    await until(() => now().connected);
  });

  test("seen again after a silence, it makes a new connection before it breaks the old", async (t) => {
    const { site, now, links } = await begin(t);
    await until(() => now().connected);
    const real = Date.now;
    t.after(() => (Date.now = real));
    Date.now = () => real() + 31_000;
    tell("resume");
    await until(() => site.requests.length === 2 && site.open.length === 1);
    Date.now = real;
    assert.deepEqual(links, ["connecting", "open"]);
  });

  test("a network that is back is used at once", async (t) => {
    const { site, now, links } = await begin(t, { script: [bare(503, { "Retry-After": "500" })] });
    Object.defineProperty(globalThis, "navigator", { value: { onLine: false }, configurable: true });
    await until(() => now().retry_in_ms);
    assert.ok(links.includes("offline") || now().link === "reconnecting");
    tell("online");
    await until(() => now().connected);
    tell("online"); // perhaps another network: the old connection may be dead
    await until(() => site.requests.length === 3 && site.open.length === 1);
    assert.ok(now().connected);
  });

  test("without a network the link says so", async (t) => {
    Object.defineProperty(globalThis, "navigator", { value: { onLine: false }, configurable: true });
    const { now } = await begin(t, { always: dropping });
    await until(() => now().link === "offline");
    assert.ok(now().reconnecting);
  });

  test("nothing listens to the page when nothing is watched", async (t) => {
    const kept = [];
    const { addEventListener, removeEventListener } = globalThis;
    globalThis.addEventListener = (type) => kept.push(type);
    globalThis.removeEventListener = (type) => kept.includes(type) && kept.splice(kept.indexOf(type), 1);
    t.after(() => Object.assign(globalThis, { addEventListener, removeEventListener }));
    const { client } = await begin(t);
    assert.equal(kept.length, 5);
    client.close();
    assert.equal(kept.length, 0);
  });
});
