// node listen.js <client> <url> <name>...   prints what the client is told as lines of JSON, and then its end.

import { clients } from "./clients.js";

const [client, url, ...names] = process.argv.slice(2);
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
print({ end: await clients[client](url, names, print) });
