// @ts-check
// Progress in Flower's pages: a bar in each row of the list, the stages on a task's page. Flower's event stream pushes
// them (/headway/events). All that is drawn goes through <headway-progress>, or through Flower's own escaping.

import "../static/element.js";
import { formatCount } from "../static/headway.js";

/**
 * What the stream says of a task.
 * @typedef {object} Said
 * @property {string} uuid
 * @property {string | null} name
 * @property {string} state Flower's
 * @property {number} at of Flower's clock, in seconds
 * @property {any} progress what its worker has told, or null
 * @property {any} [row] as the list would fetch it; only when Flower has learned more than progress
 */

/** Flower's own. @type {any} */
const $ = Reflect.get(window, "jQuery");

const REDRAW_MS = 1000; // between two looks at a list in which new tasks come and come
const RETURN_MS = 5000; // to a server that answered with something else than a stream

let offset = 0; // of the workers' clocks, as far as Flower's stands for them
let link = "open";
/** All elements of this page, by task. @type {Map<string, any>} */
const elements = new Map();

/** @param {string} uuid @param {any} progress @param {string | null} [name] */
function draw(uuid, progress, name) {
  const element = elements.get(uuid);
  if (progress) element.state = { name, ...progress, clock_offset: offset, link };
}

/** @param {string} task or "" for all @param {(said: Said) => void} hear @param {() => void} look when events may have been missed */
function listen(task, hear, look) {
  const url = new URL("../events", import.meta.url);
  if (task) url.searchParams.set("task", task);
  /** @type {EventSource | undefined} */
  let source;
  const is = (/** @type {string} */ now) => {
    link = now;
    for (const element of elements.values()) if (element.state) element.state = { ...element.state, link };
  };
  const open = () => {
    source?.close();
    if (document.hidden) return; // a browser has six connections for a server, and all its tabs share them
    source = new EventSource(url);
    source.onopen = () => is("open");
    source.onerror = () => {
      is("reconnecting");
      if (source?.readyState === EventSource.CLOSED) setTimeout(open, RETURN_MS * (1 + Math.random()));
    };
    source.onmessage = ({ data }) => {
      const said = JSON.parse(data);
      offset = said.at - Date.now() / 1000;
      hear(said);
    };
    source.addEventListener("behind", look);
  };
  document.addEventListener("visibilitychange", open);
  open();
}

// -- the list ------------------------------------------------------------------------------------------------

/** What a row says below its bar: how much, and where it is or where it stopped. @param {any} element */
function rowTexts(element) {
  const stageThat = (/** @type {string} */ is) => element.state.stages.find((/** @type {any} */ { status }) => status === is);
  const nameOf = (/** @type {any} */ stage) => stage?.label ?? stage?.key ?? "";
  const step = () => {
    const stage = stageThat("running");
    return [nameOf(stage), formatCount({ ...stage, unit: null })].filter(Boolean).join(" · ");
  };
  const elapsed = () => (element.state.status === "retrying" ? "waits to retry" : "");
  return { step, elapsed, ran: () => nameOf(stageThat("failed")) };
}

function list() {
  /** @type {any} */
  let table;
  let waiting = 0;

  /** Put the bar into a row's cell. @param {any} row */
  const show = (row) => {
    const { uuid, name, headway } = row.data();
    const column = table.columns().dataSrc().toArray().indexOf("progress");
    if (!headway || column < 0) return;
    let element = elements.get(uuid);
    if (!element) {
      element = Object.assign(document.createElement("headway-progress"), { className: "headway-row" });
      element.setAttribute("variant", "bar");
      element.setAttribute("quiet", "");
      element.texts = rowTexts(element);
      elements.set(uuid, element);
    }
    draw(uuid, headway, name);
    const cell = table.cell(row.index(), column).node();
    if (element.parentNode !== cell) cell.replaceChildren(element);
  };

  /** Fetch the list again, in place: soon, but not all the time, nor while somebody marks text in it. */
  const redraw = () => {
    waiting ||= window.setTimeout(() => {
      waiting = 0;
      if (getSelection()?.type === "Range") return redraw();
      table.table().container().classList.add("headway-fetching");
      table.ajax.reload(null, false);
    }, REDRAW_MS);
  };

  /** @param {Said} said */
  const hear = ({ uuid, progress, row: fields }) => {
    const row = table.row(`#${uuid}`);
    if (!row.any()) {
      if (fields && table.page() === 0) redraw(); // a new task, or one of another page
      return;
    }
    if (fields) row.data(fields);
    else row.data().headway = progress;
    show(row);
  };

  $(document).on("draw.dt", "#tasks-table", (/** @type {any} */ { target }) => {
    if (!table) {
      table = $(target).DataTable();
      listen("", hear, redraw);
    }
    table.table().container().classList.remove("headway-fetching");
    const shown = new Set();
    table.rows({ page: "current" }).every(/** @this {any} */ function () {
      shown.add(this.data().uuid);
      show(this);
    });
    for (const uuid of elements.keys()) if (!shown.has(uuid)) elements.delete(uuid);
    table.columns.adjust(); // a row's bar may be wider than the text it replaced
  });
}

// -- a task's page -------------------------------------------------------------------------------------------

/** @param {HTMLElement} page */
function detail(page) {
  const uuid = page.querySelector("#taskid")?.textContent ?? "";
  const stateOf = (/** @type {ParentNode} */ root) => root.querySelector(".detail-list .badge")?.textContent;

  /** @param {any} progress @param {string | null} name */
  const show = (progress, name) => {
    if (!progress) return;
    if (!elements.has(uuid)) {
      const element = Object.assign(document.createElement("headway-progress"), { className: "headway-task" });
      elements.set(uuid, element);
      page.querySelector(".task-details-card")?.before(element);
    }
    draw(uuid, progress, name);
    if (progress.page && !page.querySelector(".headway-page")) {
      const address = { className: "headway-page btn btn-outline-primary", href: progress.page, rel: "noreferrer" };
      const link = Object.assign(document.createElement("a"), address, { textContent: "Open its page" });
      page.querySelector(".detail-actions")?.prepend(link);
    }
  };

  let shown = stateOf(page);
  let state = shown; // as the stream has it
  let busy = false;
  const follow = async () => {
    busy = true;
    try {
      while (state !== shown) {
        const now = state;
        await refresh(page);
        shown = now;
      }
    } catch {
      // Flower is away; what the stream says when it is back makes us look again
    } finally {
      busy = false;
    }
  };
  /** @param {Said} said */
  const hear = (said) => {
    show(said.progress, said.name);
    state = said.state;
    if (!busy) follow();
  };
  listen(uuid, hear, () => {});
}

/** Put what Flower would show now into its page. @param {HTMLElement} page */
async function refresh(page) {
  const answer = await fetch(location.href);
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#task-page");
  if (!next) return;
  const buttons = (/** @type {ParentNode} */ root) => [...root.querySelectorAll("button")].map((each) => each.id || each.className);
  const known = buttons(page);
  // Flower's script gives buttons their meaning when a page is loaded.
  if (buttons(next).some((button) => !known.includes(button))) return location.reload();
  const rows = new Map([...page.querySelectorAll(".detail-row")].map((row) => [row.querySelector("dt")?.textContent, row]));
  const fresh = [...next.querySelectorAll(".detail-row")].map((row) => {
    const old = rows.get(row.querySelector("dt")?.textContent);
    return old?.querySelector("button") ? old : row;
  });
  page.querySelector(".detail-list")?.replaceChildren(...fresh);
  for (const button of page.querySelectorAll(".detail-actions button")) if (!next.querySelector(`#${button.id}`)) button.remove();
}

const page = document.getElementById("task-page");
if (page) detail(page);
else if (document.getElementById("tasks-table")) list();
