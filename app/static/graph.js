// A stored graph: drawn as it will run, and run again with a prompt.

import { add } from "./tasks.js";
import { postJson, Refusal, submit } from "./forms.js";

const { nodes, needs } = JSON.parse(document.getElementById("nodes").textContent);
const drawing = document.getElementById("drawing");

// It has no task: nothing in it waits for anything, and its nodes are all there is to say.
drawing.texts = { graph: "Drawing" };
drawing.state = {
  title: "Agent graph",
  status: "queued",
  stages: nodes.map(({ id }) => ({ key: id, label: id, status: "waiting", needs: needs[id], runs: 0 })),
};

const form = document.querySelector('form[data-kind="run"]');
const graph = location.pathname.split("/").at(-1);
document.getElementById("mine").dataset.graph = graph;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(form, async () => {
    const { prompt } = form.elements;
    if (!prompt.value.trim()) throw new Refusal("", [{ field: "prompt", detail: "say what you want to know" }]);
    const { task } = await postJson(form.action, { prompt: prompt.value });
    add({ task, kind: "graph" });
    location.assign(`/tasks/${encodeURIComponent(task)}`);
  });
});
