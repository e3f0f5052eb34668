// A server that streams tasks as Headway does, from journals in memory, and can be told to misbehave.

import { createServer } from "node:http";
import { fold, initialState } from "../../headway/static/headway.js";

export const OPENING = "retry: 5\n:heartbeat 15\n";

/** One frame of a stream. */
export const frame = (event, id) => `data: ${JSON.stringify(event)}\n${id ? `id: ${id}\n` : ""}\n`;

/** Wait until the condition is true, and give what it gave. */
export async function until(condition, what = String(condition), timeout = 5000) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`It never came about: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class Journal {
  log = [];

  constructor(task) {
    this.task = task;
    this.state = initialState(task);
  }

  get last() {
    return this.log.at(-1)?.cursor ?? null;
  }

  append(event) {
    const cursor = `${this.log.length + 1}-${1000 + this.log.length}`;
    this.log.push({ cursor, event });
    this.state = fold(this.state, event);
    return frame(event, `${this.task}/${cursor}`);
  }

  /** What a viewer with that cursor gets first. */
  since(cursor) {
    const { cursor: _, gap: __, server_live: ___, ...state } = this.state;
    const at = this.log.findIndex((entry) => entry.cursor === cursor);
    const snapshot = { type: "snapshot", task: this.task, at: Date.now() / 1000, v: 1, state };
    if (cursor === "0" || at >= 0) {
      return this.log
        .slice(at + 1)
        .map(({ cursor, event }) => frame(event, `${this.task}/${cursor}`))
        .join("");
    }
    if (cursor) snapshot.gap = { reason: "unknown", first: null, last: null };
    return frame(snapshot, this.last && `${this.task}/${this.last}`);
  }

  get ended() {
    return ["succeeded", "failed", "cancelled", "expired"].includes(this.state.status);
  }
}

/** `await serve(test)`: a site of the test's own, which ends with it. */
export async function serve(test) {
  const site = new Site();
  await new Promise((resolve) => site.server.listen(0, "127.0.0.1", resolve));
  site.url = `http://127.0.0.1:${site.server.address().port}`;
  site.base = `${site.url}/headway`;
  test.after(() => site.close());
  return site;
}

class Site {
  /** Every request there was: method, path, headers, body, and whether it is open. */
  requests = [];
  /** What answers the next requests instead: functions of (request, response). */
  script = [];
  /** What answers all requests instead, while it is set. */
  always = null;
  journals = new Map();
  viewers = new Set();

  constructor() {
    this.server = createServer((request, response) => this.answer(request, response));
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** Break every connection. */
  cut() {
    this.server.closeAllConnections();
  }

  /** The requests that are being answered. */
  get open() {
    return this.requests.filter((request) => request.open);
  }

  get paths() {
    return this.requests.map(({ path }) => path);
  }

  async answer(request, response) {
    let body = "";
    for await (const piece of request) body += piece;
    const { method, headers, url: path } = request;
    const seen = { method, path, headers, body, open: true, response };
    this.requests.push(seen);
    response.on("close", () => {
      seen.open = false;
      for (const viewer of this.viewers) if (viewer.response === response) this.viewers.delete(viewer);
    });
    await (this.script.shift() ?? this.always ?? ((seen, response) => this.stream(seen, response)))(seen, response);
  }

  /** What Headway would answer. */
  stream(seen, response) {
    const wanted = this.asked(seen);
    const unknown = Object.keys(wanted).filter((task) => !this.journals.has(task));
    if (unknown.length) return problem(404, { detail: "There is no such task.", tasks: unknown })(seen, response);
    const [only] = Object.keys(wanted);
    const many = Object.keys(wanted).length > 1;
    if (!many && this.journals.get(only).ended && wanted[only] === this.journals.get(only).last) {
      return response.writeHead(204).end();
    }
    opened(response);
    for (const [task, cursor] of Object.entries(wanted)) response.write(this.journals.get(task).since(cursor));
    response.write(frame({ type: "link", at: Date.now() / 1000, live: true }));
    const viewer = { response, tasks: Object.keys(wanted) };
    this.viewers.add(viewer);
    this.endIfAllHave(viewer);
  }

  asked({ method, path, headers, body }) {
    const { pathname, searchParams } = new URL(path, "http://x");
    if (method === "POST") return JSON.parse(body);
    const single = /^\/headway\/tasks\/([^/]+)\/events$/.exec(pathname);
    if (single) return { [decodeURIComponent(single[1])]: headers["last-event-id"] ?? null };
    return Object.fromEntries(searchParams.getAll("task").map((asked) => [...asked.split("@"), null].slice(0, 2)));
  }

  /** Let a task say something. */
  say(task, ...events) {
    if (!this.journals.has(task)) this.journals.set(task, new Journal(task));
    for (const event of events) {
      const bytes = this.journals.get(task).append({ task, at: Date.now() / 1000, ...event });
      for (const viewer of this.viewers) if (viewer.tasks.includes(task)) viewer.response.write(bytes);
    }
    for (const viewer of [...this.viewers]) this.endIfAllHave(viewer);
  }

  start(...tasks) {
    for (const task of tasks) this.say(task, { type: "queued" }, { type: "started", attempt: 1, stages: [] });
  }

  message(task, message) {
    this.say(task, { type: "message", message });
  }

  end(task, result = null) {
    this.say(task, { type: "finished", status: "succeeded", result });
  }

  endIfAllHave(viewer) {
    if (!viewer.tasks.every((task) => this.journals.get(task).ended)) return;
    this.viewers.delete(viewer);
    if (viewer.tasks.length > 1)
      viewer.response.write(frame({ type: "ended", at: 0, tasks: viewer.tasks.length }, "*/0123"));
    viewer.response.end();
  }
}

export function opened(response, headers = {}) {
  response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", ...headers });
  response.write(OPENING);
}

// -- misbehaviour --------------------------------------------------------------------------------------------

/** An error as a problem document. */
export const problem =
  (status, more = {}, headers = {}) =>
  (_, response) =>
    response
      .writeHead(status, { "Content-Type": "application/problem+json", ...headers })
      .end(JSON.stringify({ type: "about:blank", title: "No", status, ...more }));

export const bare =
  (status, headers = {}) =>
  (_, response) =>
    response.writeHead(status, headers).end();

/** Open a stream, say this, and end it in good order. */
export const saying =
  (...texts) =>
  (_, response) => {
    opened(response);
    for (const text of texts) response.write(text);
    response.end();
  };

/** Open a stream, say this, and go on. */
export const holding =
  (...texts) =>
  (_, response) => {
    opened(response);
    for (const text of texts) response.write(text);
  };

/** Break the connection without an answer. */
export const dropping = (_, response) => response.destroy();
