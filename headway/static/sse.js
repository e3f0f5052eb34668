// @ts-check
// The text of an event stream, by https://html.spec.whatwg.org/multipage/server-sent-events.html. Pure.

/** @import { Said } from "./types.js" */

const MOST = 2 ** 20; // characters of one line or event: a server that never ends one must not fill the memory

/** A reader of text that comes in pieces, torn anywhere. What the end of the stream tears is never said. */
export function createParser() {
  let rest = ""; // of a line whose end has not come
  let afterCR = false; // a LF would belong to the line end before
  let data = "";
  let event = "";
  let lastId = "";
  /** @type {string | null} */
  let id = null;
  /** @type {Said[]} */
  let said = [];

  function dispatch() {
    if (id !== null) lastId = id;
    if (data) said.push({ type: "event", event: event || "message", data: data.slice(0, -1), id, last_id: lastId });
    else if (id !== null) said.push({ type: "id", last_id: lastId });
    data = event = "";
    id = null;
  }

  /** @param {string} line */
  function read(line) {
    if (!line) return dispatch();
    const [, field, value = ""] = /** @type {string[]} */ (/^([^:]*)(?:: ?([^]*))?$/.exec(line));
    if (!field) said.push({ type: "comment", comment: line.slice(1) });
    else if (field === "data") data += `${value}\n`;
    else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) said.push({ type: "retry", retry: +value });
  }

  /** What this piece completes. @param {string} text @returns {Said[]} */
  return function parse(text) {
    said = [];
    if (afterCR && text) {
      afterCR = false;
      if (text[0] === "\n") text = text.slice(1);
    }
    let start = 0;
    for (const { 0: end, index } of text.matchAll(/\r\n?|\n/g)) {
      read(rest + text.slice(start, index));
      rest = "";
      start = index + end.length;
      afterCR = end === "\r" && start === text.length;
    }
    rest += text.slice(start);
    if (rest.length + data.length > MOST) throw new RangeError("An event is longer than 1 MiB.");
    return said;
  };
}

/** What each chunk of the body completes, at once. @param {ReadableStream<Uint8Array>} body */
export async function* readChunks(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder(); // drops a byte order mark, replaces what is not UTF-8
  const parse = createParser();
  try {
    for (let read; !(read = await reader.read()).done;) yield parse(decoder.decode(read.value, { stream: true }));
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * All that a response's body says: events, comments, changes of the time to return. Ends with the body, throws when
 * it breaks. Leaving the loop cancels it.
 * @param {ReadableStream<Uint8Array>} body
 */
export async function* parseSSE(body) {
  for await (const said of readChunks(body)) yield* said;
}
