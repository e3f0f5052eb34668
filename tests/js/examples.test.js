// What docs/examples.md shows is compiled as it stands there, type-checked, and run: real server, worker and browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as headway from "../../headway/static/headway.js";
import { missing as noBrowser, pages } from "./pages.js";
import { serve, until } from "./site.js";
import { begin, missing } from "./stack.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MODULES = fileURLToPath(new URL("node_modules", import.meta.url));
const MOST_LINES = 25;

const text = readFileSync(join(ROOT, "docs/examples.md"), "utf8");
const examples = Object.fromEntries(
  [...text.matchAll(/^```(jsx?)\n([^]*?)^```/gm)].map(([, kind, code]) => {
    const [, name] = /^export (?:async )?(?:function|class) (\w+)/m.exec(code);
    return [name, { kind, code }];
  }),
);

test("there are five, each of at most 25 lines", () => {
  assert.deepEqual(Object.keys(examples), ["Stepper", "Export", "followRun", "useJob", "TaskEvents"]);
  for (const [name, { code }] of Object.entries(examples)) {
    const lines = code.trimEnd().split("\n");
    assert.ok(lines.length <= MOST_LINES, `${name} has ${lines.length} lines`);
    assert.ok(Math.max(...lines.map(({ length }) => length)) <= 120, `${name} has lines nobody can read`);
  }
});

/** A project that has Headway and React installed, and these files; gives the folder of what the compiler made. */
function project(test) {
  const folder = mkdtempSync(join(tmpdir(), "headway-examples-"));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "node_modules/headway/headway"), { recursive: true });
  mkdirSync(join(folder, "node_modules/@types"));
  cpSync(join(ROOT, "package.json"), join(folder, "node_modules/headway/package.json"));
  cpSync(join(ROOT, "headway/static"), join(folder, "node_modules/headway/headway/static"), { recursive: true });
  for (const name of ["react", "@types/react"]) symlinkSync(join(MODULES, name), join(folder, "node_modules", name));
  for (const [name, { kind, code }] of Object.entries(examples)) writeFileSync(join(folder, `${name}.${kind}`), code);
  const compilerOptions = {
    allowJs: true,
    checkJs: true,
    strict: true,
    noImplicitAny: false, // the examples are JavaScript, and say no types
    noUnusedLocals: true,
    target: "es2022",
    lib: ["es2024", "dom", "dom.iterable", "dom.asynciterable"],
    module: "esnext",
    moduleResolution: "bundler",
    jsx: "react-jsx",
    types: [],
    outDir: "out",
  };
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.js", "*.jsx"] }));
  try {
    execFileSync(join(MODULES, ".bin/tsc"), ["-p", folder], { encoding: "utf8" });
  } catch (error) {
    assert.fail(error.stdout);
  }
  return join(folder, "out");
}

/** Node by node: two side by side, a third that needs both. */
const GRAPH = {
  nodes: [
    { id: "shout", kind: "transform", params: { operation: "upper" } },
    { id: "count", kind: "compute", params: { operation: "words" } },
    { id: "answer", kind: "write", params: {} },
  ],
  edges: [
    { source: "shout", target: "answer" },
    { source: "count", target: "answer" },
  ],
};
const PROMPT = "What do ferries carry? Ferries carry people and cars over the sea. The sea is deep.";

test("the examples", { skip: missing }, async (t) => {
  const out = project(t);
  const { web, told } = await begin(t);
  const baseUrl = `${web}/headway`;
  const take = async (name) => (await import(pathToFileURL(join(out, `${name}.js`))))[name];

  async function post(path, wanted) {
    const answer = await fetch(`${web}${path}`, {
      method: "POST",
      body: JSON.stringify(wanted),
      headers: { "Content-Type": "application/json" },
    });
    assert.ok(answer.ok, `${path} answered ${answer.status}`);
    return answer.json();
  }

  async function run(graph, prompt) {
    const { graph: id } = await post("/graphs", graph);
    return (await post(`/graphs/${id}/runs`, { prompt })).task;
  }

  await t.test("messages of a graph: each node starts once, after those it needs, and completes", async () => {
    const followRun = await take("followRun");
    const task = await run(GRAPH, PROMPT);
    const live = [];
    await followRun(task, (message) => live.push(message), { baseUrl });
    const late = [];
    await followRun(task, (message) => late.push(message), { baseUrl });
    for (const messages of [live, late]) {
      const at = (type, node) => {
        const found = messages.flatMap((each, n) => (each.type === type && each.node === node ? [n] : []));
        assert.equal(found.length, 1, `${type} ${node}: ${found.length}`);
        return found[0];
      };
      for (const { id } of GRAPH.nodes) assert.ok(at("node-started", id) < at("node-completed", id));
      const { result } = messages[at("node-completed", "count")];
      assert.equal(result.values.sentences, 3);
      assert.equal(messages[at("node-completed", "shout")].result.text, PROMPT.toUpperCase());
      assert.equal(messages.length, 7);
      const { type, status, result: whole } = messages.at(-1);
      assert.deepEqual([type, status, whole.nodes], ["workflow-completed", "succeeded", 3]);
    }
    const before = (type, node) => live.findIndex((each) => each.type === type && each.node === node);
    for (const { source } of GRAPH.edges) {
      assert.ok(before("node-completed", source) < before("node-started", "answer"));
    }
  });

  await t.test("messages of a graph: a node that fails, those that are skipped for it, the error", async () => {
    const followRun = await take("followRun");
    const numbers = { id: "count", kind: "compute", params: { operation: "numbers" } };
    const task = await run({ ...GRAPH, nodes: GRAPH.nodes.with(1, numbers) }, "No figures here.");
    const messages = [];
    await followRun(task, (message) => messages.push(message), { baseUrl });
    const told = (node) => messages.filter((each) => each.node === node).map(({ type }) => type);
    assert.deepEqual(told("count"), ["node-started", "node-failed"]);
    assert.deepEqual(told("answer"), ["node-skipped"]);
    assert.match(messages.find(({ type }) => type === "node-skipped").message, /count/);
    const { status, error } = messages.at(-1);
    assert.deepEqual([status, error.stage], ["failed", "count"]);
  });

  await t.test("messages of a graph: a server that is restarted repeats none and loses none", async () => {
    const followRun = await take("followRun");
    const { task } = await post("/tasks/paced", { stages: 3, steps: 20, seconds: 4 });
    const messages = [];
    const ended = followRun(task, (message) => messages.push(message), { baseUrl, retry: { minMs: 20, maxMs: 200 } });
    await until(() => messages.length >= 1, "the first node", 15_000);
    await told("kill");
    await told("start");
    await ended;
    assert.deepEqual(
      messages.map(({ type, node }) => `${type} ${node ?? ""}`.trim()),
      [1, 2, 3].flatMap((n) => [`node-started stage-${n}`, `node-completed stage-${n}`]).concat("workflow-completed"),
    );
  });

  await t.test("messages of a graph: a retry runs its nodes anew", async (t) => {
    const followRun = await take("followRun");
    const site = await serve(t);
    const attempt = (number) => ({ type: "started", attempt: number, stages: [{ key: "only", status: "waiting" }] });
    const stage = (status) => ({ type: "stage", stage: { key: "only", status } });
    const types = [];
    const seen = (...wanted) => until(() => types.join() === wanted.join(), wanted.join());
    site.say("run", attempt(1));
    const ended = followRun("run", ({ type }) => types.push(type), { baseUrl: site.base });
    await until(() => site.open.length);
    site.say("run", stage("running"));
    await seen("node-started");
    site.say("run", { type: "retrying", delay: 0 });
    await seen("node-started", "node-failed");
    site.say("run", attempt(2), stage("running"), stage("done"));
    await seen("node-started", "node-failed", "node-started", "node-completed");
    site.end("run");
    await ended;
    await seen("node-started", "node-failed", "node-started", "node-completed", "workflow-completed");
  });

  await t.test("named events: all that was emitted, in order, and whether more may come", async () => {
    const TaskEvents = await take("TaskEvents");
    const task = await run(GRAPH, PROMPT);
    const { stages } = await headway.watch(task, { baseUrl }).done;
    const { text: answer, tokens } = stages.find(({ key }) => key === "answer").data;
    assert.ok(tokens > 3);
    const heard = [];
    const ready = [];
    const events = new TaskEvents(task, { baseUrl }); // one who comes late
    assert.equal(events.ready, false);
    events.addEventListener("token", ({ detail }) => heard.push(detail.text));
    events.addEventListener("readychange", () => ready.push(events.ready));
    await until(() => heard.join("") === answer, "the whole answer", 15_000);
    events.close();

    const { task: quiet } = await post("/tasks/paced", { stages: 1, steps: 4, seconds: 1 });
    const live = new TaskEvents(quiet, { baseUrl });
    live.addEventListener("readychange", () => ready.push(live.ready));
    await until(() => ready.join().endsWith("true,false"), "ready, then over", 15_000);
    live.close();
  });

  await t.test("in a browser", { skip: noBrowser }, async (t) => {
    const HEAD = `
      import { createElement as h, StrictMode } from "react";
      import { createRoot } from "react-dom/client";
      const root = document.getElementById("root");
      const mount = (element) => {
        const mounted = createRoot(root);
        mounted.render(h(StrictMode, null, element));
        return mounted;
      };
      const start = async (wanted) => {
        const headers = { "Content-Type": "application/json" };
        const answer = await fetch("/tasks/paced", { method: "POST", headers, body: JSON.stringify(wanted) });
        return (await answer.json()).task;
      };
    `;
    const { site, visit } = await pages(t, {
      Stepper: `${HEAD}
        import { Stepper } from "/examples/Stepper.js";
        import { watch } from "headway";
        const id = await start({ stages: 3, steps: 10, seconds: 3 });
        const other = watch(id);
        other.subscribe(() => {});
        await until(() => other.getSnapshot().stages.length);
        mount(h(Stepper, { id }));
        const seen = new Set();
        const said = () => [...root.querySelectorAll("li")].map((li) => li.className).join(" ");
        await until(() => (seen.add(said()), said() === "done done done"));
        const [first] = root.querySelectorAll("li");
        await report({ seen: [...seen], first: first.textContent, complaints });`,

      Export: `${HEAD}
        import { Export } from "/examples/Export.js";
        const id = await start({ stages: 2, steps: 10, seconds: 2 });
        const mounted = mount(h(Export, { id }));
        const values = [];
        await until(() => {
          const bar = root.querySelector("progress");
          if (bar?.hasAttribute("value") && bar.value !== values.at(-1)) values.push(bar.value);
          return root.querySelector("a");
        });
        const link = root.querySelector("a").getAttribute("href");
        const failing = await start({ stages: 1, steps: 2, seconds: 0.1, fail_at: 1 });
        mounted.unmount();
        mount(h(Export, { id: failing }));
        await until(() => root.querySelector("[role=alert]"));
        await report({ id, link, values, complaints });`,

      useJob: `${HEAD}
        import { useJob } from "/examples/useJob.js";
        let job;
        const seen = [];
        function Page() {
          job = useJob("/tasks/paced", "none");
          seen.push([job.status, job.progress, job.step, job.isConnected]);
          return null;
        }
        mount(h(Page));
        await until(() => job);
        const before = [job.status, job.progress, job.isConnected];
        const refused = await job.start({ stages: -1 }).catch((error) => error.message);
        const same = job.start;
        await job.start({ stages: 2, steps: 10, seconds: 2 });
        await until(() => job.status === "succeeded");
        await report({ before, refused, stable: same === job.start, seen, result: job.result, complaints });`,
    });
    const fake = site.always;
    site.always = (seen, response) => {
      const [, name] = /^\/examples\/(\w+)\.js$/.exec(seen.path) ?? [];
      if (name) return give(response, readFileSync(join(out, `${name}.js`), "utf8"));
      if (/^\/(headway|tasks)\//.test(seen.path)) return passOn(web, seen, response);
      return fake(seen, response);
    };

    await t.test("the stepper goes through its steps, although it came to a task that was watched", async () => {
      const { seen, first, complaints } = await visit("Stepper");
      assert.ok(seen.includes("running waiting waiting"), seen.join(", "));
      assert.ok(seen.includes("done running waiting"), seen.join(", "));
      assert.match(first, /^Stage 1 /);
      assert.deepEqual(complaints, []);
    });

    await t.test("the bar of a job grows, then there is what it made, or that it failed", async () => {
      const { id, link, values, complaints } = await visit("Export");
      assert.equal(link, `/exports/${id}`);
      assert.ok(values.length >= 2, values.join());
      assert.deepEqual(values, values.toSorted());
      assert.deepEqual(complaints, []);
    });

    await t.test("a job is started by its hook, and says all the way how far it is", async () => {
      const { before, refused, stable, seen, result, complaints } = await visit("useJob");
      assert.deepEqual(before, [null, 0, false]);
      assert.match(refused, /answered 422/);
      assert.ok(stable);
      assert.ok(seen.some(([status, , , connected]) => status === "running" && connected));
      assert.ok(seen.some(([, progress]) => progress > 0 && progress < 100 && Number.isInteger(progress)));
      assert.ok(seen.some(([, , step]) => step === "Stage 2"));
      assert.deepEqual(result, { stages: 2, steps: 20 });
      assert.equal(seen.at(-1)[1], 100);
      assert.deepEqual(complaints, []);
    });
  });
});

/** An example as a browser without a bundler takes it. */
function give(response, code) {
  const files = { "headway/react": "/static/react.js", "react/jsx-runtime": "/npm/react/jsx-runtime" };
  const whole = code.replace(/from "(.+)";/g, (line, name) => (files[name] ? `from "${files[name]}";` : line));
  response.writeHead(200, { "Content-Type": "text/javascript" }).end(whole);
}

/** Have the real server answer, so that the page and it are of one origin. */
function passOn(web, { method, path, headers, body }, response) {
  const asked = request(`${web}${path}`, { method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  asked.on("error", () => response.destroy());
  response.on("close", () => asked.destroy());
  asked.end(body);
}
