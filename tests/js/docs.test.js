// What docs/browser.md shows can at least be read, and names what there is.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { minify } from "terser";
import * as headway from "../../headway/static/headway.js";

const text = readFileSync(new URL("../../docs/browser.md", import.meta.url), "utf8");
const snippets = [...text.matchAll(/```js\n([^]*?)```/g)].map(([, code]) => code);

test("its snippets are JavaScript of at most ten lines", async () => {
  assert.ok(snippets.length >= 9);
  for (const code of snippets) {
    const lines = code.split("\n").filter((line) => line.trim());
    assert.ok(lines.length <= 10, code);
    const whole = code.replace(/^queryFn: (.*)$/m, "({ queryFn: $1 })");
    await assert.doesNotReject(minify(whole, { module: true }), code);
  }
});

test("what they import is there", async () => {
  const files = { "headway.js": headway, "tabs.js": await import("../../headway/static/tabs.js") };
  for (const [, names, file] of text.matchAll(/import \{ (.+) \} from "\/headway\/static\/(.+)";/g)) {
    for (const name of names.split(", ")) assert.ok(name in files[file], `${name} of ${file}`);
  }
});

test("its table has every field of a snapshot that is not the task's", () => {
  const { state, ...rest } = { state: Object.keys(headway.initialState("a")), ...headway.watch("a").getSnapshot() };
  const own = Object.keys(rest).filter(
    (name) => !state.includes(name) || ["cursor", "gap", "server_live"].includes(name),
  );
  for (const name of own) assert.match(text, new RegExp(`\`${name}\``), name);
});
