// Sends a form's request, shows how far an upload is, and says beside each field what is wrong with it.

import { formatEta } from "/headway/static/headway.js";
import { say, size } from "./dom.js";

const [FAR_ENOUGH, LONG_ENOUGH_MS] = [0.02, 1500]; // of an upload: less is no pace to reckon by

/** A refusal: `errors` name fields, as in the site's problem documents. */
class Refusal extends Error {
  constructor(message, errors = []) {
    super(message);
    this.errors = errors;
  }
}

async function answerOf(status, text) {
  let said = {};
  try {
    said = JSON.parse(text);
  } catch {
    // a proxy's own page
  }
  if (status >= 200 && status < 300) return said;
  throw new Refusal(said.detail ?? `The server answered ${status}. Try again in a moment.`, said.errors);
}

/** POST an object as JSON. */
export async function postJson(url, body) {
  let answer;
  try {
    answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  } catch {
    throw new Refusal(navigator.onLine ? "The server cannot be reached. Try again in a moment." : "You are offline.");
  }
  return answerOf(answer.status, await answer.text());
}

/** POST a file. Not with fetch, which cannot tell how far it is. `told` hears of the bytes that have left, and of all. */
function postFile(url, file, told, signal) {
  const form = new FormData();
  form.append("file", file);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.upload.onprogress = ({ loaded, total }) => told(Math.min(loaded, file.size), Math.min(total, file.size));
    request.upload.onload = () => told(file.size, file.size);
    request.onload = () => resolve(answerOf(request.status, request.responseText));
    request.onerror = () => reject(new Refusal(navigator.onLine ? "The upload was interrupted. Try again." : "You are offline."));
    request.onabort = () => reject(new Refusal("The upload was stopped. Nothing was started."));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** Upload a file and show how far it is, with a button that stops it, and then that the answer is awaited. */
export async function upload(form, file) {
  const box = form.querySelector(".upload");
  const [bar, said, stop] = [box.querySelector("progress"), box.querySelector("p"), box.querySelector("button")];
  const stopping = new AbortController();
  const begun = performance.now();
  const show = (sent, total) => {
    bar.value = total ? sent / total : 0;
    stop.hidden = sent >= total;
    if (stop.hidden) return say(said, "Uploaded. Starting…");
    const spent = performance.now() - begun;
    const known = spent >= LONG_ENOUGH_MS && bar.value >= FAR_ENOUGH;
    const left = known ? `, ${formatEta((spent / 1000) * (1 / bar.value - 1))} left` : "";
    say(said, `Uploading: ${size(sent)} of ${size(total)}${left}`);
  };
  stop.onclick = () => stopping.abort();
  show(0, file.size);
  box.hidden = false;
  return postFile(form.action, file, show, stopping.signal);
}

function clear(form) {
  form.querySelector(".upload").hidden = true;
  say(form.querySelector(".refusal"), "");
  for (const node of form.querySelectorAll(".mistake")) say(node, "");
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

/** Each mistake beside its field, all that have no place at the form's end. */
export function refuse(form, { message, errors = [] }) {
  clear(form);
  const places = [...form.querySelectorAll(".mistake")].filter((node) => !node.closest("[hidden]"));
  let first = null;
  let placed = 0;
  for (const { field, detail } of errors) {
    const node = places.find(({ dataset }) => dataset.field === field) ?? places.find(({ dataset }) => dataset.field === "nodes");
    if (!node) continue;
    const own = node.dataset.field === field;
    say(node, [node.textContent, own ? sentence(detail) : `${field} ${detail}.`].filter(Boolean).join(" "));
    const control = form.elements[node.dataset.field];
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", (node.id ||= `mistake-${form.dataset.kind}-${node.dataset.field}`));
    first ??= control;
    placed++;
  }
  say(form.querySelector(".refusal"), placed && placed === errors.length ? "" : message);
  first?.focus();
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

/** Do this at most once at a time; what it throws is said in the form. */
export async function submit(form, work) {
  if (form.dataset.busy) return;
  form.dataset.busy = "true";
  form.setAttribute("aria-busy", "true");
  clear(form);
  try {
    await work();
    clear(form);
  } catch (error) {
    if (!(error instanceof Refusal)) console.error(error);
    refuse(form, error instanceof Refusal ? error : { message: "That did not work. Reload the page and try again." });
  } finally {
    delete form.dataset.busy;
    form.removeAttribute("aria-busy");
  }
}

export { Refusal };
