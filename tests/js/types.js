// The declarations beside headway/static/*.js: `node types.js` makes them, `node types.js --check` says whether they
// are what the JavaScript would make now. Either way the JavaScript must be without a type error.

import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const STATIC = fileURLToPath(new URL("../../headway/static/", import.meta.url));
const checking = process.argv.includes("--check");
const read = (path) => (existsSync(path) ? readFileSync(path, "utf8") : null);

const folder = mkdtempSync(join(tmpdir(), "headway-types-"));
try {
  // In a folder without the declarations there are: the compiler would believe them rather than the JavaScript.
  const [from, to] = [join(folder, "from"), join(folder, "to")];
  mkdirSync(from);
  for (const name of readdirSync(STATIC)) {
    if (name.endsWith(".js") || name === "types.d.ts") copyFileSync(join(STATIC, name), join(from, name));
  }
  const config = {
    extends: join(HERE, "tsconfig.json"),
    compilerOptions: { rootDir: from, outDir: to },
    include: [from],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  execFileSync(join(HERE, "node_modules/.bin/tsc"), ["-p", folder], { stdio: "inherit" });

  const different = readdirSync(to).filter((name) => read(join(to, name)) !== read(join(STATIC, name)));
  if (!checking) for (const name of different) copyFileSync(join(to, name), join(STATIC, name));
  else if (different.length) {
    console.error(`${different.join(", ")}: not what the JavaScript says. Run: npm --prefix tests/js run types`);
    process.exitCode = 1;
  }
} catch (error) {
  if (error.status === undefined) throw error;
  process.exitCode = error.status; // the compiler has said why
} finally {
  rmSync(folder, { recursive: true });
}
