// The start page: each form starts something; a pipeline's task has its own page, the paced one is seen in the list.

import { add } from "./tasks.js";
import { postJson, Refusal, submit, upload } from "./forms.js";
import { say, size } from "./dom.js";
import { examples } from "./examples.js";

const formOf = (kind) => document.querySelector(`form[data-kind="${kind}"]`);

/** Show a task that was started on its own page. It is in the list, too, for those who come back. */
function go(kind, { task }) {
  add({ task, kind });
  location.assign(`/tasks/${encodeURIComponent(task)}`);
}

// -- documents and videos ------------------------------------------------------------------------------------

async function send(form, file) {
  if (!file) throw new Refusal("", [{ field: "file", detail: "choose a file first" }]);
  const most = Number(form.dataset.most);
  if (file.size > most) {
    throw new Refusal("", [{ field: "file", detail: `this file has ${size(file.size)}; at most ${size(most)} are allowed` }]);
  }
  go(form.dataset.kind, await upload(form, file));
}

const samples = {
  async document(form) {
    const answer = await fetch(form.dataset.sample).catch(() => null);
    if (!answer?.ok) throw new Refusal("The sample could not be fetched. Try again in a moment.");
    await send(form, new File([await answer.blob()], "Port Ellery report.pdf"));
  },
  async video(form) {
    go("video", await postJson(form.action, { sample: true }));
  },
};

for (const kind of ["document", "video"]) {
  const form = formOf(kind);
  const { file, sample } = form.elements;
  const box = form.querySelector(".drop");
  const chosen = form.querySelector(".chosen");
  const unchosen = chosen.textContent;
  const choose = () => say(chosen, file.files[0] ? `${file.files[0].name}, ${size(file.files[0].size)}` : unchosen);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(form, () => send(form, file.files[0]));
  });
  sample.addEventListener("click", () => submit(form, () => samples[kind](form)));
  file.addEventListener("change", choose);
  for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
    box.addEventListener(type, (event) => {
      event.preventDefault();
      box.classList.toggle("over", type === "dragenter" || type === "dragover");
    });
  }
  box.addEventListener("drop", ({ dataTransfer }) => {
    if (!dataTransfer.files.length) return;
    file.files = dataTransfer.files;
    choose();
    submit(form, () => send(form, file.files[0]));
  });
  choose(); // a browser that comes back remembers the file
}

// What misses the box must not replace the page.
for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault());

// -- graphs --------------------------------------------------------------------------------------------------

const graphForm = formOf("graph");
const own = graphForm.querySelector(".own");
const { nodes, prompt } = graphForm.elements;

nodes.value ||= JSON.stringify(examples.own, null, 1);

const showOwn = () => (own.hidden = graphForm.elements.graph.value !== "own");
graphForm.addEventListener("change", showOwn);
showOwn();

/** Its id on this site; each example is stored once and used again. */
async function stored(name) {
  const key = `graph:${name}:${JSON.stringify(examples[name]).length}`;
  const known = name !== "own" && localStorage.getItem(key);
  if (known && (await fetch(`/graphs/${known}`, { headers: { Accept: "application/json" } })).ok) return known;
  const { graph } = await postJson(graphForm.action, name === "own" ? ownGraph() : examples[name]);
  if (name !== "own") localStorage.setItem(key, graph);
  return graph;
}

function ownGraph() {
  try {
    return JSON.parse(nodes.value);
  } catch (error) {
    throw new Refusal("", [{ field: "nodes", detail: `this is no JSON: ${error.message}` }]);
  }
}

graphForm.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(graphForm, async () => {
    if (!prompt.value.trim()) throw new Refusal("", [{ field: "prompt", detail: "say what you want to know" }]);
    const graph = await stored(graphForm.elements.graph.value);
    go("graph", await postJson(`/graphs/${graph}/runs`, { prompt: prompt.value }));
  });
});

// -- the paced task ------------------------------------------------------------------------------------------

const paced = formOf("paced");

paced.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(paced, async () => {
    const given = [...new FormData(paced)].filter(([, value]) => value !== "");
    const { task } = await postJson(paced.action, Object.fromEntries(given.map(([name, value]) => [name, Number(value)])));
    add({ task, kind: "paced" });
  });
});
