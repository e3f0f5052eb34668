// The list of this browser's tasks. Its rows are live by themselves, all on one connection.

import "./live.js";
import { isEnded } from "/headway/static/headway.js";
import { localTimes, make, say } from "./dom.js";

const MOST = 50;
const KINDS = { document: "Document", video: "Video", graph: "Agent graph", paced: "Paced task" };
const OUTCOMES = { succeeded: "Done", failed: "Failed", cancelled: "Cancelled", expired: "Expired" };

const list = document.getElementById("mine");
const going = new Set(); // tasks whose end would be news

/** Put a task that has just been started on top of the list. */
export function add({ task, kind, started = Date.now() / 1000 }, before = list.firstElementChild) {
  if (list.querySelector(`[data-task="${CSS.escape(task)}"]`)) return;
  const row = document.getElementById("row").content.firstElementChild.cloneNode(true);
  row.dataset.task = task;
  const link = row.querySelector("a");
  link.href = `/tasks/${encodeURIComponent(task)}`;
  say(link, KINDS[kind] ?? "Task");
  const at = make("time", { dateTime: new Date(started * 1000).toISOString() });
  row.querySelector("p").append(`${KINDS[kind] ?? "Task"} · `, at);
  row.querySelector("headway-progress").setAttribute("task", task);
  list.insertBefore(row, before);
  while (list.children.length > MOST) list.lastElementChild.remove();
  document.getElementById("empty").hidden = true;
  localTimes(row);
}

list.addEventListener("headway:change", ({ target, detail }) => {
  const link = target.closest("li").querySelector("a");
  const title = detail.title ?? detail.name;
  if (title) say(link, title);
  if (!isEnded(detail)) going.add(detail.task);
  else if (going.delete(detail.task)) say(document.getElementById("news"), `${link.textContent}: ${OUTCOMES[detail.status]}`);
});

/** A page that comes back from the history is as it was; what was started meanwhile is not in it. */
addEventListener("pageshow", async ({ persisted }) => {
  const [navigation] = performance.getEntriesByType("navigation");
  if (!persisted && navigation?.type !== "back_forward") return;
  const answer = await fetch("/tasks").catch(() => null);
  if (!answer?.ok) return;
  const { graph } = list.dataset;
  const { tasks } = await answer.json();
  for (const each of tasks.reverse()) if (!graph || each.graph === graph) add(each);
});

localTimes();
