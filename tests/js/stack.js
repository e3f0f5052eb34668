// What tests/js/stack.py runs, for tests of the client: real Redis, a real worker, real sites.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const pythons = [process.env.VIRTUAL_ENV, join(ROOT, ".venv")].map((folder) => folder && join(folder, "bin", "python"));
const python = pythons.find(
  (path) => path && existsSync(path) && spawnSync(path, ["-c", "import flask, gevent, gunicorn, celery"]).status === 0,
);

/** Why it cannot run here; in CI it must. */
export const missing = python || process.env.CI ? false : "there is no Python environment: make test makes one";

/** Begin it, and end it with the test; `told(line)` has it do something. */
export async function begin(test) {
  const stack = spawn(python, ["-m", "tests.js.stack"], { cwd: ROOT, stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: stack.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error("the stack has ended");
    return JSON.parse(value);
  };
  test.after(async () => {
    const ended = once(stack, "exit");
    stack.stdin.end();
    await ended;
  });
  const told = async (line) => {
    stack.stdin.write(`${line}\n`);
    await next();
  };
  return { ...(await next()), told };
}
