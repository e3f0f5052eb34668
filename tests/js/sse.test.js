// The parser, by the examples of tests/fixtures/sse, however the bytes are torn.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { createParser as referenceParser } from "eventsource-parser";
import { parseSSE } from "../../headway/static/headway.js";

const folder = new URL("../fixtures/sse/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
const casesOf = (name) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));

const bytesOf = ({ stream, base64 }) => new Uint8Array(base64 ? Buffer.from(base64, "base64") : Buffer.from(stream));

/** A body that brings these chunks. */
const body = (...chunks) =>
  new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });

async function read(...chunks) {
  const heard = { events: [], comments: [], retry: undefined, last_id: "" };
  for await (const said of parseSSE(body(...chunks))) {
    const { type, ...rest } = said;
    if (type === "event") heard.events.push(rest);
    if (type === "comment") heard.comments.push(said.comment);
    if (type === "retry") heard.retry = said.retry;
    heard.last_id = said.last_id ?? heard.last_id;
  }
  return heard;
}

const expected = ({ events, comments = [], retry, last_id }) => ({ events, comments, retry, last_id });

for (const file of files) {
  describe(file, () => {
    for (const example of casesOf(file)) {
      test(example.name, async () => {
        const bytes = bytesOf(example);
        assert.deepEqual(await read(bytes), expected(example), "whole");
        assert.deepEqual(
          await read(...Array.from(bytes, (byte) => Uint8Array.of(byte))),
          expected(example),
          "byte by byte",
        );
        for (let cut = 1; cut < bytes.length; cut++) {
          assert.deepEqual(await read(bytes.subarray(0, cut), bytes.subarray(cut)), expected(example), `cut at ${cut}`);
        }
      });
    }
  });
}

test("there are at least forty examples", () => {
  assert.ok(files.flatMap(casesOf).length >= 40);
});

test("it agrees with eventsource-parser about random streams", async () => {
  const parts = [
    "data",
    "id",
    "event",
    "retry",
    ":",
    ": ",
    " ",
    "\n",
    "\n",
    "\n\n",
    "\r",
    "\r\n",
    "a",
    "7",
    "é",
    "\u2028",
  ];
  let seed = 20;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 1000; round++) {
    const text = Array.from({ length: 1 + random(40) }, () => parts[random(parts.length)]).join("");
    const theirs = [];
    const parser = referenceParser({ onEvent: ({ event, data }) => theirs.push([event ?? "message", data]) });
    // Theirs keeps a CR at the very end for the LF that may follow; ours ends the line.
    parser.feed(text.endsWith("\r") ? `${text}:` : text);
    const { events } = await read(new TextEncoder().encode(text));
    assert.deepEqual(
      events.map(({ event, data }) => [event, data]),
      theirs,
      JSON.stringify(text),
    );
  }
});

test("a line that never ends is given up at a megabyte", async () => {
  const piece = new Uint8Array(65536).fill(120);
  let pulled = 0;
  const endless = new ReadableStream({
    pull(controller) {
      pulled += piece.length;
      controller.enqueue(piece);
    },
  });
  await assert.rejects(async () => {
    for await (const _ of parseSSE(endless));
  }, /longer than 1 MiB/);
  assert.ok(pulled < 2 ** 20 + 4 * piece.length, `${pulled} bytes were read`);
});

test("so is an event that never ends", async () => {
  const piece = new TextEncoder().encode("data: x\n".repeat(8192));
  const endless = new ReadableStream({ pull: (controller) => controller.enqueue(piece) });
  await assert.rejects(async () => {
    for await (const _ of parseSSE(endless));
  }, RangeError);
});

test("comments without end cost nothing", async () => {
  const piece = new TextEncoder().encode(`:${"x".repeat(62)}\n`.repeat(1024));
  let left = 64; // 4 MiB
  const long = new ReadableStream({
    pull: (controller) => (left-- ? controller.enqueue(piece) : controller.close()),
  });
  let comments = 0;
  for await (const said of parseSSE(long)) if (said.type === "comment") comments++;
  assert.equal(comments, 64 * 1024);
});

test("who leaves the loop cancels the body", async () => {
  let cancelled = false;
  const stream = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
    cancel() {
      cancelled = true;
    },
  });
  for await (const { data } of parseSSE(stream)) {
    assert.equal(data, "1");
    break;
  }
  assert.ok(cancelled);
});

test("a body that breaks throws, after what came before", async () => {
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode("data: 1\n\n"));
    },
    pull(controller) {
      controller.error(new TypeError("the network"));
    },
  });
  const seen = [];
  await assert.rejects(async () => {
    for await (const { data } of parseSSE(stream)) seen.push(data);
  }, /the network/);
  assert.deepEqual(seen, ["1"]);
});
