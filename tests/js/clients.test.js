// The clients that the acceptance tests trust read a stream of our form alike, however the network tears it.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { clients } from "./clients.js";

/** As headway/sse.py writes it. */
const frame = (id, data, name) => `${name ? `event: ${name}\n` : ""}data: ${data}\n${id ? `id: ${id}\n` : ""}\n`;

const BEFORE = [
  "retry: 1\n:heartbeat 15\n",
  frame("t1/1-11", '{"type":"snapshot","task":"t1"}'),
  frame(null, '{"type":"link","live":true}'),
].join("");
const TOKEN = frame("t1/2-22", '{"type":"emitted","data":"\\u00e9\\u2028\\r\\n\\ndata: x"}', "token");
const AFTER = [
  ":\n:\n",
  frame("t1/3-33", '{"type":"emitted","data":"nobody listens"}', "other"),
  ":\n",
  frame("t1/4-44", '{"type":"finished","status":"succeeded"}'),
].join("");
const STREAM = BEFORE + TOKEN + AFTER;

const TOLD = [
  { event: "message", id: "t1/1-11", data: '{"type":"snapshot","task":"t1"}' },
  { event: "message", id: null, data: '{"type":"link","live":true}' },
  { event: "token", id: "t1/2-22", data: '{"type":"emitted","data":"\\u00e9\\u2028\\r\\n\\ndata: x"}' },
  { event: "message", id: "t1/4-44", data: '{"type":"finished","status":"succeeded"}' },
];

const HEADERS = { "Content-Type": "text/event-stream; charset=utf-8" };

/** A fetch that answers with the stream in these pieces, and 204 to whoever has had its end. */
function answering(pieces, asked) {
  return async (_, { headers }) => {
    const cursor = new Headers(headers).get("Last-Event-ID");
    asked.push(cursor);
    if (cursor === "t1/4-44") return new Response(null, { status: 204 });
    const body = new ReadableStream({
      start(controller) {
        for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
        controller.close();
      },
    });
    return new Response(body, { headers: HEADERS });
  };
}

async function read(client, url, options) {
  const told = [];
  const end = await clients[client](url, ["token"], (line) => told.push(line), options);
  return { told: told.filter((line) => !line.open), opened: told.filter((line) => line.open).length, end };
}

for (const client of Object.keys(clients)) {
  test(`${client} reads the stream torn in two at any byte, and stops at 204`, async () => {
    for (let at = 0; at <= STREAM.length; at++) {
      const asked = [];
      const fetch = answering([STREAM.slice(0, at), STREAM.slice(at)].filter(Boolean), asked);
      const { told, end } = await read(client, "http://nowhere.test/", { fetch });
      assert.deepEqual(told, TOLD, `torn at ${at}`);
      assert.equal(end, 204);
      assert.deepEqual(asked, [null, "t1/4-44"]);
    }
  });

  test(`${client} reads the stream byte by byte from a real server, and comes back where it was`, async () => {
    const asked = [];
    const server = createServer(async (request, response) => {
      const cursor = request.headers["last-event-id"];
      asked.push(cursor);
      if (cursor === "t1/4-44") return response.writeHead(204).end();
      const rest = cursor ? TOKEN + AFTER : BEFORE;
      response.writeHead(200, HEADERS);
      for (const byte of rest) {
        response.write(byte);
        await new Promise(setImmediate);
      }
      response.end();
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { told, opened, end } = await read(client, `http://127.0.0.1:${server.address().port}/`);
      assert.deepEqual(told, TOLD);
      assert.deepEqual(asked, [undefined, "t1/1-11", "t1/4-44"]);
      assert.deepEqual({ opened, end }, { opened: 2, end: 204 });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test(`${client} drops a frame that the end of a connection tears, and comes back for it`, async () => {
    for (let at = 0; at < TOKEN.length - 1; at++) {
      const asked = [];
      const answer = answering([BEFORE, TOKEN.slice(0, at)].filter(Boolean), asked);
      const fetch = async (url, init) => {
        const response = await answer(url, init);
        return asked.length > 1 ? new Response(null, { status: 204 }) : response;
      };
      const { told } = await read(client, "http://nowhere.test/", { fetch });
      assert.deepEqual(told, TOLD.slice(0, 2), `torn at ${at}`);
      assert.deepEqual(asked, [null, "t1/1-11"], `torn at ${at}`);
    }
  });

  test(`${client} takes no comment and no retry for an event`, async () => {
    const asked = [];
    const fetch = answering([":heartbeat 1\n:\n:\n", STREAM, ":\nretry: 2\n"], asked);
    const { told } = await read(client, "http://nowhere.test/", { fetch });
    assert.deepEqual(told, TOLD);
  });
}
