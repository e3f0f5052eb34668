// What only a browser can show: its own locks and channels, its cache of pages, its limits.

import assert from "node:assert/strict";
import { test } from "node:test";
import { missing, pages } from "./pages.js";

const TAB = `<script type="module">
  import { watch } from "/static/headway.js";
  import { tabs } from "/static/tabs.js";
  const numbers = [];
  const hear = ({ cursor }) => cursor && numbers.push(parseInt(cursor));
  const watched = watch("a", { share: tabs, onEvent: hear, token: "canary" });
  watched.subscribe(() => {});
  window.shown = () => ({ ...watched.getSnapshot(), numbers });
</script>`;

test("in a browser", { skip: missing }, async (t) => {
  const { visit } = await pages(t, {
    tab: TAB,
    tabs: `
      await site.start("a");
      const open = () => {
        const frame = document.createElement("iframe");
        frame.src = "/tab";
        document.body.append(frame);
        return { frame, now: () => frame.contentWindow.shown?.() };
      };
      const frames = [open(), open(), open(), open(), open(), open(), open(), open()];
      await until(() => frames.every(({ now }) => now()?.connected && now().confirmed), "eight tabs");
      const open8 = await site.open();
      await site.message("a", "hello");
      await until(() => frames.every(({ now }) => now().message === "hello"), "all told");
      const { locks } = navigator;
      const before = (await locks.query()).held.length;
      let handovers = 0;
      while (frames.length > 2) {
        frames.shift().frame.remove();
        handovers++;
        await site.message("a", "after " + handovers);
        await until(() => frames.every(({ now }) => now().message === "after " + handovers && now().connected), "on");
      }
      await until(async () => (await site.open()) === 1, "one connection");
      const { numbers, gap } = frames.at(-1).now();
      frames.forEach(({ frame }) => frame.remove());
      await until(async () => (await site.open()) === 0, "none");
      await report({ open8, before, handovers, numbers, gap });`,

    watching: `
      import { watch } from "/static/headway.js";
      await site.start("a");
      const watched = watch("a");
      const states = [];
      (async () => { for await (const { status, message } of watched) states.push(status + " " + message) })();
      await until(() => watched.getSnapshot().connected);
      await site.message("a", "é€😀");
      await until(() => watched.getSnapshot().message === "é€😀");
      await site.drop();
      await site.message("a", "back");
      await until(() => watched.getSnapshot().message === "back");
      const { done } = watched;
      await site.end("a", { words: 5 });
      const { status, result, link, gap } = await done;
      await report({ status, result, link, gap, last: states.at(-1), complaints });`,

    away: `
      import { watch } from "/static/headway.js";
      await site.start("a");
      const watched = watch("a");
      watched.subscribe(() => {});
      await until(() => watched.getSnapshot().confirmed && watched.getSnapshot().connected);
      addEventListener("pageshow", async ({ persisted }) => {
        if (!persisted) return;
        await until(() => watched.getSnapshot().message === "meanwhile" && watched.getSnapshot().connected);
        await report({ persisted, open: await site.open() });
      });
      await pause(50);
      location = "/elsewhere";`,
    elsewhere: `
      const open = () => site.open();
      await until(async () => (await open()) === 0, "nothing is left open");
      await site.message("a", "meanwhile");
      if (sessionStorage.went) await report({ persisted: false });
      sessionStorage.went = "1";
      history.back();
      // Without a cache of pages the first page is loaded anew, and comes here once more.
    `,
    native: `
      import { initialState, reduce } from "/static/headway.js";
      await site.start("a");
      let state = initialState("a");
      const source = new EventSource("/headway/tasks/a/events");
      source.onmessage = ({ data, lastEventId }) => {
        state = reduce(state, { ...JSON.parse(data), cursor: lastEventId.split("/").pop() });
      };
      await until(() => state.status === "running");
      await site.message("a", "hello");
      await until(() => state.message === "hello");
      source.close();
      await report({ progress: state.progress, cursor: state.cursor });`,
  });

  await t.test("eight tabs have one connection, and hand it on one after another without a loss", async () => {
    const { open8, before, handovers, numbers, gap } = await visit("tabs");
    assert.deepEqual({ open8, before, handovers, gap }, { open8: 1, before: 1, handovers: 6, gap: null });
    assert.deepEqual(numbers, [2, 3, 4, 5, 6, 7, 8, 9]);
  });

  await t.test("a task is watched over a broken connection to its end", async () => {
    const { complaints, ...told } = await visit("watching");
    assert.deepEqual(told, {
      status: "succeeded",
      result: { words: 5 },
      link: "closed",
      gap: null,
      last: "succeeded back",
    });
    assert.ok(!complaints.some((text) => text.includes("headway.js")), complaints.join());
  });

  await t.test("a page in the cache of pages has no connection, and goes on when it is back", async (t) => {
    const { persisted, open } = await visit("away");
    if (!persisted) return t.skip("this browser keeps no pages");
    assert.equal(open, 1);
  });

  await t.test("a native EventSource may feed reduce", async () => {
    assert.deepEqual(await visit("native"), { progress: null, cursor: "3-1002" });
  });
});
