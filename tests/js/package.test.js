// What is published: the files, what they weigh, and whether they are what their types say.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { minify } from "terser";
import { initialState } from "../../headway/static/headway.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const STATIC = join(ROOT, "headway/static/");
const KIB = 1024;
const about = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const sources = readdirSync(STATIC).filter((name) => name.endsWith(".js"));

/** The files of headway/static that a file brings, itself included; what it may bring later is not among them. */
function brought(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, other] of readFileSync(join(STATIC, name), "utf8").matchAll(
    /^(?:import|export) .*from "\.\/(.+\.js)";/gm,
  )) {
    brought(other, found);
  }
  return found;
}

/** What a bundler makes of the files that bring these names, compressed. */
async function weight(files, names) {
  const texts = files.map((name) => readFileSync(join(STATIC, name), "utf8"));
  const whole = texts
    .join("\n")
    .replace(/^import .*;$/gm, "")
    .replace(/^export \{.*;$/gm, "")
    .replace(/^export /gm, "");
  const { code } = await minify(`${whole}\nexport { ${names} };`, {
    module: true,
    ecma: 2022,
    compress: { passes: 3 },
  });
  return gzipSync(code, { level: 9 }).length;
}

/** What a project in TypeScript may rely on. */
const TYPED = `
  import { createClient, formatEta, initialState, isEnded, parseSSE, reduce, resumedAt, watch } from "headway";
  import { makeUseTask } from "headway/hook";
  import { tabs } from "headway/tabs";
  import type { State, TaskEvent, Watched } from "headway/types";

  const task = watch("a", { token: async (refused) => (refused ? "new" : "old"), share: tabs, viewer: "7" });
  const stop: () => void = task.subscribe(() => {});
  const shown: Watched = task.getSnapshot();
  const percent: number | null = shown.progress;
  const from: string | undefined = resumedAt(shown)?.key;
  const keys: string[] = shown.stages.map(({ key }) => key);
  async function all(): Promise<void> {
    for await (const { link, status } of task) if (link === "closed" && status === "failed") break;
    const { result } = await createClient({ baseUrl: "/x" }).watch<{ words: number }>("b").done;
    const words: number | undefined = result?.words;
    for await (const said of parseSSE((await fetch("/")).body!)) if (said.type === "event") said.data.trim();
    console.log(words, percent, keys, stop, formatEta(shown), isEnded(shown));
  }
  const event: TaskEvent = { type: "message", task: "a", at: 1 };
  const state: State = reduce(initialState("a"), event);
  // @ts-expect-error there is no such status
  const wrong: boolean = state.status === "paused";
  // @ts-expect-error states are not changed
  state.stages.push({});
  const useTask = makeUseTask({} as any);
  const whole: Watched = useTask(null);
  const part: number | null = useTask("a", { select: ({ progress }) => progress });
  console.log(all, wrong, whole, part);
`;

test("the version is that of the Python package", () => {
  const [, version] = /^version = "(.+)"$/m.exec(readFileSync(join(ROOT, "pyproject.toml"), "utf8"));
  assert.equal(about.version, version);
});

test("all that is exported is there", () => {
  for (const target of Object.values(about.exports).flatMap((to) =>
    typeof to === "string" ? to : Object.values(to),
  )) {
    assert.ok(existsSync(join(ROOT, target)), target);
  }
  for (const target of about.sideEffects) assert.ok(existsSync(join(ROOT, target)), target);
});

test("every file is exported, or brought by one that is", () => {
  const entries = Object.values(about.exports).flatMap(({ default: file }) => file?.split("/").pop() ?? []);
  const all = new Set(entries.flatMap((name) => [...brought(name)]));
  for (const name of [...all]) {
    for (const [, later] of readFileSync(join(STATIC, name), "utf8").matchAll(/(?<!\{)\bimport\("\.\/(.+\.js)"\)/g))
      brought(later, all);
  }
  assert.deepEqual([...all].sort(), [...sources].sort());
});

test("every file has its types, and they are what the JavaScript says", () => {
  for (const name of sources) assert.ok(existsSync(join(STATIC, name.replace(/js$/, "d.ts"))), name);
  execFileSync(process.execPath, [fileURLToPath(new URL("types.js", import.meta.url)), "--check"], { stdio: "pipe" });
});

test("npm publishes these files and no others, and they can be imported by name", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "headway-npm-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const npm = (...args) =>
    execFileSync("npm", args, { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const packed = JSON.parse(npm("pack", "--json", "--pack-destination", folder));
  const { filename, files } = Array.isArray(packed) ? packed[0] : Object.values(packed)[0];
  const expected = [
    "LICENSE",
    "README.md",
    "package.json",
    ...readdirSync(STATIC).map((name) => `headway/static/${name}`),
  ];
  assert.deepEqual(files.map(({ path }) => path).sort(), expected.sort());

  const home = join(folder, "node_modules/headway");
  mkdirSync(home, { recursive: true });
  execFileSync("tar", ["xzf", join(folder, filename), "--strip-components=1", "-C", home]);
  const script = `
    import { watch } from "headway";
    import { tabs } from "headway/tabs";
    import { makeUseTask } from "headway/hook";
    console.log(typeof watch, typeof tabs, typeof makeUseTask);
  `;
  writeFileSync(join(folder, "uses.mjs"), script);
  assert.equal(
    execFileSync(process.execPath, [join(folder, "uses.mjs")], { encoding: "utf8" }),
    "function function function\n",
  );

  writeFileSync(join(folder, "uses.ts"), TYPED);
  for (const resolution of ["bundler", "nodenext"]) {
    const module = resolution === "bundler" ? "esnext" : "nodenext";
    const compilerOptions = {
      noEmit: true,
      strict: true,
      target: "es2022",
      types: [],
      module,
      moduleResolution: resolution,
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["uses.ts"] }));
    const tsc = fileURLToPath(new URL("node_modules/.bin/tsc", import.meta.url));
    const { status, stdout } = spawnSync(tsc, ["-p", folder], { encoding: "utf8" });
    assert.equal(status, 0, `${resolution}: ${stdout}`);
  }
});

test("a bundle pays less than 5 KiB for the client, and less than 1 KiB for the hook", async (t) => {
  const client = [...brought("headway.js")].filter((name) => name !== "words.js");
  const weights = {
    client: await weight(client, "watch, createClient, reduce, initialState, isEnded, parseSSE"),
    words: await weight(["words.js"], "formatCount, formatDuration, formatEta, resumedAt"),
    hook: await weight(["hook.js"], "makeUseTask"),
  };
  t.diagnostic(JSON.stringify(weights));
  assert.ok(weights.client < 5 * KIB, `${weights.client} bytes`);
  assert.ok(weights.hook < KIB, `${weights.hook} bytes`);
});

test("the state has the fields of the schema, and so do stages", () => {
  const { $defs } = JSON.parse(readFileSync(join(ROOT, "docs/schema.json"), "utf8"));
  const { cursor, gap, server_live, ...state } = initialState("a");
  assert.deepEqual(Object.keys(state).sort(), Object.keys($defs.State.properties).sort());
  const types = readFileSync(join(STATIC, "types.d.ts"), "utf8");
  for (const [name, type] of Object.entries({
    State: "State<R = any>",
    Stage: "Stage",
    Error: "TaskError",
    Gap: "Gap",
  })) {
    const [, body] = types.split(`export interface ${type} {`);
    const fields = [...body.split("\n}")[0].matchAll(/^ {2}(\w+)\??:/gm)].map(([, field]) => field);
    const own = name === "State" ? ["cursor", "gap", "server_live"] : [];
    assert.deepEqual(
      fields.filter((field) => !own.includes(field)).sort(),
      Object.keys($defs[name].properties).sort(),
      name,
    );
  }
});
