// The hook, with a real React: rendered on a server here, and living in a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as React from "react";
import { renderToString } from "react-dom/server";
import { makeUseTask } from "../../headway/static/hook.js";
import { missing, pages } from "./pages.js";

const useTask = makeUseTask(React);
const h = React.createElement;

test("on a server it renders what is known, and connects to nothing", () => {
  const Bar = ({ id, ...options }) => {
    const { task, status, progress, link } = useTask(id, options);
    return h("p", null, `${task} ${status} ${progress} ${link}`);
  };
  const rendered = (props) => renderToString(h(Bar, props));
  assert.equal(rendered({ id: "a" }), "<p>a queued null idle</p>");
  assert.equal(rendered({ id: null }), "<p>null queued null idle</p>");
  assert.equal(rendered({ id: "a", initialState: { status: "running", progress: 0.5 } }), "<p>a running 0.5 idle</p>");
});

test("on a server it renders what is selected", () => {
  const Part = () => h("p", null, useTask("a", { select: ({ status, link }) => ({ text: `${status}/${link}` }) }).text);
  assert.equal(renderToString(h(Part)), "<p>queued/idle</p>");
});

const MODULES = `
  import * as React from "react";
  import { createRoot, hydrateRoot } from "react-dom/client";
  import { createClient } from "headway";
  import { useTask } from "/static/react.js";
  const h = React.createElement;
  const root = document.getElementById("root");
  const text = (id) => document.getElementById(id)?.textContent;
  const mount = (element) => {
    const mounted = createRoot(root);
    mounted.render(h(React.StrictMode, null, element));
    return mounted;
  };
`;

test("in a browser", { skip: missing }, async (t) => {
  const { visit } = await pages(t, {
    strict: `${MODULES}
      await site.start("a");
      let mounts = 0;
      function Bar() {
        const { status, message, link } = useTask("a");
        React.useEffect(() => { mounts++ }, []);
        return h("p", { id: "bar" }, status, " ", message, " ", link);
      }
      const mounted = mount(h(Bar));
      await until(() => text("bar") === "running  open");
      await site.message("a", "hello");
      await until(() => text("bar") === "running hello open");
      const asked = await site.asked();
      const open = await site.open();
      mounted.unmount();
      await pause(500);
      const lingering = await site.open();
      await until(async () => (await site.open()) === 0);
      await report({ mounts, asked, open, lingering, complaints });`,

    many: `${MODULES}
      await site.start("a", "b");
      const Bar = ({ id, name }) => h("p", { id: name }, useTask(id).status);
      const bars = [["a", "1"], ["a", "2"], ["b", "3"]].map(([id, name]) => h(Bar, { key: name, id, name }));
      mount(h("div", null, bars));
      await until(() => ["1", "2", "3"].every((name) => text(name) === "running"));
      await report({ asked: await site.asked(), complaints });`,

    changing: `${MODULES}
      await site.start("a", "b");
      await site.message("a", "of a");
      await site.message("b", "of b");
      const seen = [];
      let setId;
      function Bar() {
        const [id, set] = React.useState(null);
        setId = set;
        const { task, message, link } = useTask(id);
        seen.push([task, message]);
        return h("p", { id: "bar" }, task + " " + message + " " + link);
      }
      mount(h(Bar));
      await until(() => text("bar") === "null null idle");
      const before = await site.asked();
      setId("a");
      await until(() => text("bar") === "a of a open");
      setId("b");
      await until(() => text("bar") === "b of b open");
      setId(null);
      await until(() => text("bar") === "null null idle");
      await until(async () => (await site.open()) === 0);
      const mixed = seen.filter(([task, message]) => message && message !== "of " + task);
      await report({ before, mixed, complaints });`,

    select: `${MODULES}
      await site.start("a");
      let renders = 0, whole = 0;
      function Part() {
        const { status } = useTask("a", { select: ({ status, progress }) => ({ status, progress }) });
        renders++;
        return h("p", { id: "part" }, status);
      }
      function Whole() {
        whole++;
        return h("p", { id: "whole" }, useTask("a").message);
      }
      mount(h("div", null, h(Part), h(Whole)));
      await until(() => text("part") === "running");
      await pause(50);
      const before = [renders, whole];
      for (let n = 0; n < 20; n++) await site.message("a", "step " + n);
      await until(() => text("whole") === "step 19");
      await report({ part: renders - before[0], whole: whole - before[1], complaints });`,

    functions: `${MODULES}
      await site.start("a");
      const heard = [];
      let setToken;
      function Bar() {
        const [token, set] = React.useState("one");
        setToken = set;
        const onEvent = ({ type }) => heard.push(token + " " + type);
        const { message } = useTask("a", { token: () => token, onEvent, headers: { "X-Mine": "1" } });
        return h("p", { id: "bar" }, message);
      }
      mount(h(Bar));
      await until(() => heard.includes("one snapshot"));
      for (let n = 0; n < 5; n++) await site.message("a", "step " + n);
      await until(() => text("bar") === "step 4");
      const asked = await site.asked();
      setToken("two");
      await pause(20);
      await site.drop();
      await until(async () => (await site.tokens()).includes("Bearer two"));
      await report({ asked, tokens: await site.tokens(), complaints });`,

    client: `${MODULES}
      await site.start("a", "b");
      const client = createClient({ token: () => "mine" });
      const Bar = ({ id }) => h("p", { id }, useTask(id, { client }).status);
      mount(h("div", null, h(Bar, { id: "a" }), h(Bar, { id: "b" })));
      await until(() => text("a") === "running" && text("b") === "running");
      await report({ asked: await site.asked(), tokens: await site.tokens(), complaints });`,

    hydrated: `${MODULES}
      await site.start("a");
      const initialState = { task: "a", status: "scheduled" };
      const select = ({ status }) => ({ status });
      const Bar = () => h("p", { id: "bar" }, useTask("a", { initialState, select }).status);
      root.innerHTML = '<p id="bar">scheduled</p>';
      const there = document.getElementById("bar");
      hydrateRoot(root, h(React.StrictMode, null, h(Bar)));
      await until(() => text("bar") === "running");
      await report({ same: there === document.getElementById("bar"), complaints });`,
  });

  await t.test(
    "StrictMode mounts twice and connects once; the connection ends a second after the last has left",
    async () => {
      const { mounts, asked, open, lingering, complaints } = await visit("strict");
      assert.equal(mounts, 2);
      assert.deepEqual(asked, ["/headway/tasks/a/events"]);
      assert.deepEqual([open, lingering], [1, 1]);
      assert.deepEqual(complaints, []);
    },
  );

  await t.test("components share one connection, of one task or of several", async () => {
    const { asked, complaints } = await visit("many");
    assert.deepEqual(asked, ["/headway/events?task=a&task=b"]);
    assert.deepEqual(complaints, []);
  });

  await t.test("without an id it is idle; another id brings another state, never a mixture", async () => {
    const { before, mixed, complaints } = await visit("changing");
    assert.ok(!before.some((path) => path.includes("null")));
    assert.deepEqual(mixed, []);
    assert.deepEqual(complaints, []);
  });

  await t.test("a component renders again only when what it selects has changed", async () => {
    const { part, whole, complaints } = await visit("select");
    assert.equal(part, 0);
    assert.ok(whole > 5, `${whole} renders`);
    assert.deepEqual(complaints, []);
  });

  await t.test("functions written in place make no new connection, and the latest is called", async () => {
    const { asked, tokens, complaints } = await visit("functions");
    assert.deepEqual(asked, ["/headway/tasks/a/events"]);
    assert.deepEqual(tokens, ["Bearer one", "Bearer two"]);
    assert.deepEqual(complaints, []);
  });

  await t.test("a client of one's own is used", async () => {
    const { asked, tokens, complaints } = await visit("client");
    assert.deepEqual(asked, ["/headway/events?task=a&task=b"]);
    assert.deepEqual(tokens, ["Bearer mine"]);
    assert.deepEqual(complaints, []);
  });

  await t.test("what a server has rendered is hydrated as it is", async () => {
    const { same, complaints } = await visit("hydrated");
    assert.ok(same);
    assert.deepEqual(complaints, []);
  });
});
