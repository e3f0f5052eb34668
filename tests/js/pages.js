// A real Chromium, led without a driver: pages that this server gives it do their work and report it.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "./site.js";

const require = createRequire(import.meta.url);
const STATIC = fileURLToPath(new URL("../../headway/static/", import.meta.url));
const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const OPTIONS = [
  "--headless=new",
  "--no-sandbox", // CI runs as root, where Chromium's sandbox does not start
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];
const REPORT_MS = 30_000;

/** Why tests in a browser cannot run here; in CI they must. */
export const missing = CHROMIUM || process.env.CI ? false : "chromium is not installed";

/** A package of CommonJS as a module that browsers understand. */
function asModule(name) {
  const files = {};
  const others = new Set();
  function visit(path) {
    if (files[path]) return;
    files[path] = readFileSync(path, "utf8");
    for (const [, wanted] of files[path].matchAll(/\brequire\(["']([^"']+)["']\)/g)) {
      if (wanted.startsWith(".")) visit(require.resolve(resolve(dirname(path), wanted)));
      else others.add(wanted);
    }
  }
  const main = require.resolve(name);
  visit(main);
  const imports = [...others].map((other, n) => `import other${n} from "/npm/${other}";`);
  const map = [...others].map((other, n) => `${JSON.stringify(other)}: other${n}`);
  const bodies = Object.entries(files).map(
    ([path, text]) =>
      `${JSON.stringify(path)}: [${JSON.stringify(dirname(path))}, (module, exports, require) => {${text}\n}]`,
  );
  const names = Object.keys(require(name)).filter((key) => /^[a-z]\w*$/i.test(key) && key !== "default");
  return `${imports.join("\n")}
const process = { env: { NODE_ENV: "development" } };
const others = { ${map.join(", ")} };
const files = { ${bodies.join(",\n")} };
const loaded = {};
function load(path) {
  if (loaded[path]) return loaded[path].exports;
  const [folder, run] = files[path];
  const module = (loaded[path] = { exports: {} });
  run(module, module.exports, (name) => others[name] ?? load(Object.keys(files).find((file) => {
    const url = new URL(name, "file://" + folder + "/").pathname;
    return [url, url + ".js", url + "/index.js"].includes(file);
  })));
  return module.exports;
}
const main = load(${JSON.stringify(main)});
export default main;
export const { ${names.join(", ")} } = main;
`;
}

const HEAD = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"react": "/npm/react", "react-dom": "/npm/react-dom",
  "react-dom/client": "/npm/react-dom/client", "headway": "/static/headway.js"}}</script>
<script type="module">
  const send = async (path, value) =>
    (await fetch(path, { method: "POST", body: JSON.stringify(value ?? null) })).json();
  window.site = new Proxy({}, { get: (_, verb) => (...args) => send("/site/" + verb, args) });
  window.report = (value) => send("/report", value);
  window.until = async (condition, what = String(condition)) => {
    for (let n = 0; n < 1000; n++) {
      const result = await condition();
      if (result) return result;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error("It never came about: " + what);
  };
  window.pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  window.complaints = [];
  const { error } = console;
  console.error = (...said) => (complaints.push(said.map(String).join(" ")), error(...said));
  addEventListener("error", ({ message }) => report({ error: message }));
  addEventListener("unhandledrejection", ({ reason }) => report({ error: String(reason?.stack ?? reason) }));
</script>`;

/**
 * A site whose pages are these texts (of a module each, or whole documents that begin with "<"). `visit(name)` opens
 * one in a browser of the test's own and gives what it reports.
 */
export async function pages(test, texts) {
  const site = await serve(test);
  let reported;
  const verbs = {
    open: () => site.open.filter(({ path }) => path.startsWith("/headway/")).length,
    asked: () => site.requests.filter(({ path }) => path.startsWith("/headway/")).map(({ path }) => path),
    drop: () =>
      site.open.filter(({ path }) => path.startsWith("/headway/")).forEach(({ response }) => response.destroy()),
    tokens: () => site.requests.map(({ headers }) => headers.authorization).filter(Boolean),
  };
  site.always = (seen, response) => {
    const { pathname } = new URL(seen.path, site.url);
    const give = (type, text) =>
      response.writeHead(200, { "Content-Type": `${type}; charset=utf-8`, "Cache-Control": "no-cache" }).end(text);
    if (pathname.startsWith("/headway/")) return site.stream(seen, response);
    if (pathname.startsWith("/static/")) return give("text/javascript", readFileSync(join(STATIC, pathname.slice(8))));
    if (pathname.startsWith("/npm/")) return give("text/javascript", asModule(pathname.slice(5)));
    if (pathname === "/report") return (reported(JSON.parse(seen.body)), give("application/json", "null"));
    if (pathname.startsWith("/site/")) {
      const verb = pathname.slice(6);
      const result = verbs[verb] ? verbs[verb]() : site[verb](...JSON.parse(seen.body));
      return give("application/json", JSON.stringify(verbs[verb] ? (result ?? null) : null));
    }
    const text = texts[pathname.slice(1)];
    if (text === undefined) return response.writeHead(404).end();
    give(
      "text/html",
      text.startsWith("<") ? HEAD + text : `${HEAD}<div id="root"></div><script type="module">${text}</script>`,
    );
  };

  async function visit(name) {
    site.requests.length = 0;
    site.journals.clear();
    site.viewers.clear();
    const report = new Promise((resolve, reject) => {
      reported = resolve;
      setTimeout(reject, REPORT_MS, new Error("The page has reported nothing.")).unref();
    });
    const profile = mkdtempSync(join(tmpdir(), "headway-chromium-"));
    const browser = spawn(CHROMIUM, [...OPTIONS, `--user-data-dir=${profile}`, `${site.url}/${name}`], {
      detached: true, // leads its own group, so that all of it can be ended
      stdio: "ignore",
    });
    const ended = new Promise((resolve) => browser.on("exit", resolve));
    try {
      const result = await report;
      if (result?.error) throw new Error(result.error);
      return result;
    } finally {
      process.kill(-browser.pid, "SIGKILL");
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    }
  }
  return { site, visit };
}
