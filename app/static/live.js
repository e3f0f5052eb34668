// All that is live, on one connection for all tabs: over HTTP/1.1 a browser makes six to a host, and then nothing loads.

import { HeadwayProgress } from "/headway/static/element.js";
import { watch } from "/headway/static/headway.js";
import { tabs } from "/headway/static/tabs.js";

const [TRIES, AGAIN_MS] = [20, 3000];

HeadwayProgress.options = { share: tabs };

// The server has let this page have the task, so it was there: a Redis that comes back empty knows it again when its
// worker speaks next.
const tries = new WeakMap();
addEventListener("headway:change", ({ target, detail }) => {
  const tried = tries.get(target) ?? 0;
  if (detail.link_error?.code !== "not_found" || tried === TRIES) return;
  tries.set(target, tried + 1);
  setTimeout(() => target.reconnect(), AGAIN_MS);
});

/** Hear every event of a task, on the connection that the elements have. */
export const hear = (task, onEvent) => watch(task, { ...HeadwayProgress.options, onEvent }).subscribe(() => {});
