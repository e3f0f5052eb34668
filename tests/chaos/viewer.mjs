// node viewer.mjs <name> <site> <task>...   a viewer with our own client: prints records (records.py) as lines of JSON.

import { createClient } from "../../headway/static/headway.js";

const [name, site, ...tasks] = process.argv.slice(2);
const print = (...record) => process.stdout.write(`${JSON.stringify(record)}\n`);
const now = () => Date.now() / 1000;
process.stdin.on("end", () => process.exit()).resume(); // whoever started it is gone

// The client does not hand out the text that an event came in, and numbers do not survive being written again.
const parse = JSON.parse;
let text = "";
JSON.parse = (said, ...how) => parse((text = said), ...how);

let connection = 0;
let open = false;

function closed(why) {
  if (open) print("closed", name, connection, now(), why);
  open = false;
}

async function ask(...request) {
  closed("cut");
  const cursors = Object.fromEntries(tasks.map((task, i) => [task, watches[i].getSnapshot().cursor ?? null]));
  const response = await fetch(...request);
  if (response.status === 200) {
    open = true;
    print("opened", name, ++connection, now(), cursors);
  }
  return response;
}

const client = createClient({ baseUrl: `${site}/headway`, fetch: ask, retry: { minMs: 100, maxMs: 1000 } });
const watches = tasks.map((task) =>
  client.watch(task, {
    onEvent: ({ type, cursor }) => print("got", name, connection, now(), task, cursor ?? null, type, text),
  }),
);

const ends = watches.map((watch) => watch.done.catch(({ link_error, message }) => link_error?.status ?? message));
for (const [i, end] of ends.entries()) {
  const status = await end;
  if (typeof status !== "object") print("refused", name, tasks[i], `${status}`);
}
closed("ended");
print("over", name);
process.stdin.destroy();
