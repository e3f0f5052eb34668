// @ts-nocheck: see nodes.js
// Stages as a graph: in layers, each right of all that it needs, with few crossings. Loaded when stages have needs.

import { attrs, css, icon, look, maker, shape, sheet, write } from "./nodes.js";

const SWEEPS = 4;
const [W, H, DX, DY] = [7.5, 3, 9.1, 3.75]; // em: a node, and from one to the next

let styles; // made when first needed: there is no document where a server renders

/**
 * Columns and rows for stages, 1 apart. An edge passes `through` a place of its own in every column it crosses. Keys
 * nobody has are no edges, nor is what would close a circle. What was declared first stays on top.
 */
export function layered(stages) {
  const needs = new Map(stages.map(({ key, needs }) => [key, [...new Set(needs)]]));
  const column = new Map();
  const open = new Set();
  const visit = (key) => {
    if (!column.has(key)) {
      open.add(key);
      const own = needs.get(key).filter((need) => needs.has(need) && !open.has(need));
      needs.set(key, own);
      column.set(key, Math.max(-1, ...own.map(visit)) + 1);
      open.delete(key);
    }
    return column.get(key);
  };
  const layers = [];
  const place = (x) => {
    const made = { x, y: 0, from: [], to: [] };
    (layers[x] ??= []).push(made);
    return made;
  };
  const nodes = new Map([...needs.keys()].map((key) => [key, place(visit(key))]));
  const edges = [...needs].flatMap(([to, own]) => own.map((from) => {
    const through = [];
    for (let x = nodes.get(from).x + 1; x < nodes.get(to).x; x++) through.push(place(x));
    [...through, nodes.get(to)].reduce((one, other) => {
      one.to.push(other);
      other.from.push(one);
      return other;
    }, nodes.get(from));
    return { from, to, through };
  }));
  const number = (layer) => layer.forEach((here, i) => (here.y = i));
  const mean = (places) => places.reduce((sum, { y }) => sum + y / places.length, 0);
  layers.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const side = sweep % 2 ? "to" : "from";
    for (const layer of sweep % 2 ? layers.toReversed() : layers) {
      for (const here of layer) here.wish = here[side].length ? mean(here[side]) : here.y;
      number(layer.sort((one, other) => one.wish - other.wish));
    }
  }
  const rows = Math.max(...layers.map(({ length }) => length));
  for (const layer of layers) for (const here of layer) here.y += (rows - layer.length) / 2;
  return { nodes, edges, columns: layers.length, rows };
}

/** Draws a view's stages into its canvas. `layout` may be another than ours. */
export function drawGraph(view, canvas, layout = layered) {
  const { stages } = view.state;
  const plan = JSON.stringify(stages.map(({ key, needs }) => [key, needs]));
  if (canvas.plan !== plan) build(view, canvas, layout(stages));
  canvas.plan = plan;
  const done = new Set(stages.filter(({ status }) => status === "done").map(({ key }) => key));
  attrs(canvas, { "aria-label": view.t("graphSaid", { done: done.size, of: stages.length }) });
  for (const stage of stages) {
    const { node, name, state } = canvas.cells.get(stage.key);
    look(node, "node", stage.status);
    write(name, view.label(stage) + (stage.runs > 1 ? ` ×${stage.runs}` : ""));
    write(state, view.t(stage.status));
  }
  for (const { path, from } of canvas.edges) look(path, "edge", done.has(from) ? "done" : "waiting");
}

function build(view, canvas, { nodes, edges, columns, rows }) {
  styles ??= sheet(CSS);
  if (!view.root.adoptedStyleSheets.includes(styles)) view.root.adoptedStyleSheets.push(styles);
  const size = [(columns - 1) * DX + W, (rows - 1) * DY + H];
  canvas.edges = edges.map(({ from, to, through }) => {
    const route = [nodes.get(from), ...through, nodes.get(to)].map(({ x, y }) => [x * DX, y * DY + H / 2]);
    const d = route.map(([x, y], i) => {
      if (!i) return `M${x + W} ${y}`;
      const [left, level] = route[i - 1];
      const middle = (left + W + x) / 2;
      return `L${left + W} ${level}C${middle} ${level} ${middle} ${y} ${x} ${y}`;
    });
    return { from, path: shape("path", { d: d.join("") }) };
  });
  canvas.replaceChildren(shape("svg", { class: "edges", viewBox: `0 0 ${size.join(" ")}` }, ...canvas.edges.map(({ path }) => path)));
  canvas.cells = new Map();
  for (const [key, { x, y }] of nodes) {
    const cell = {};
    const make = maker(cell);
    canvas.append(make("div", "node", icon(), make("span", "name"), make("span", "state")));
    css(cell.node, "inset-inline-start", `${x * DX}em`);
    css(cell.node, "inset-block-start", `${y * DY}em`);
    canvas.cells.set(key, cell);
  }
  css(canvas, "inline-size", `${size[0]}em`);
  css(canvas, "block-size", `${size[1]}em`);
}

const CSS = `
.canvas { position: relative; font-size: .8em }
.edges { position: absolute; inline-size: 100%; block-size: 100%; fill: none; stroke-width: .1 }
.edges:dir(rtl) { transform: scaleX(-1) }
.edge { stroke: var(--c) }
.node {
  position: absolute; display: grid; grid: "name name" "icon state" / auto 1fr; gap: 0 .3em; place-content: center start;
  inline-size: 7.5em; block-size: 3em; padding-inline: .6em; border: 1.5px solid var(--c); border-radius: .5em; line-height: 1.3;
}
.node.run { box-shadow: 0 0 0 1px var(--c) }
.node.off { border-style: dashed }
.node > .icon { grid-area: icon; align-self: center; inline-size: 1em; block-size: 1em }
.node > span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.name { grid-area: name; font-weight: 600 }
.state { color: var(--_muted); font-size: .8571em }
@media (forced-colors: active) { .edge { stroke: CanvasText } }
`;
