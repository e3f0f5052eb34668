// The declarations beside headway/static/*.js: `node types.js` makes them, `node types.js --check` says whether they
// are what the JavaScript would make now.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const files = fileURLToPath(new URL("../../headway/static/", import.meta.url));

/** @param {string} folder */
function compile(folder) {
  const options = ["-p", here, "--outDir", folder];
  execFileSync(join(here, "node_modules/.bin/tsc"), options, { stdio: "inherit" });
}

const made = mkdtempSync(join(tmpdir(), "headway-types-"));
try {
  compile(made);
  const different = readdirSync(made).filter((name) => {
    const text = readFileSync(join(made, name), "utf8");
    const old = (() => {
      try {
        return readFileSync(join(files, name), "utf8");
      } catch {
        return null;
      }
    })();
    if (text === old) return false;
    if (!process.argv.includes("--check")) writeFileSync(join(files, name), text);
    return true;
  });
  if (process.argv.includes("--check") && different.length) {
    console.error(`${different.join(", ")}: not what the JavaScript says. Run: npm --prefix tests/js run types`);
    process.exitCode = 1;
  }
} catch (error) {
  process.exitCode = error.status ?? 1; // the compiler has said why
} finally {
  rmSync(made, { recursive: true });
}
