// @ts-check
// Stages as a graph: in layers, each right of all that it needs, with few crossings. Loaded when stages have needs.

import { attrs, css, icon, look, maker, shape, sheet, write } from "./nodes.js";

/** @import { Stage } from "./types.js" */

/** Columns and rows, 1 apart. @typedef {{ x: number, y: number }} Place */
/** @typedef {{ from: string, to: string, through: Place[] }} Edge */
/** @typedef {{ nodes: Map<string, Place>, edges: Edge[], columns: number, rows: number }} Layout */
/** @typedef {Place & { from: Spot[], to: Spot[], wish: number }} Spot */

const SWEEPS = 4;
const [WIDTH, HEIGHT, DOWN] = [7.5, 3, 3.75]; // em: a node, and from one to the next below it
const [NEAR, FAR, ROOM] = [9.1, 11.5, 52]; // em: from one column to the next, far apart if all find room

/** Made when first needed: there is no document where a server renders. @type {CSSStyleSheet} */
let graphStyles;

/**
 * Places for stages. An edge passes `through` a place of its own in every column it crosses. Keys nobody has are no
 * edges, nor is what would close a circle. What was declared first stays on top.
 * @param {readonly Pick<Stage, "key" | "needs">[]} stages @returns {Layout}
 */
export function layered(stages) {
  const needs = new Map(stages.map(({ key, needs }) => [key, [...new Set(needs)]]));
  /** @type {Map<string, number>} */
  const columns = new Map();
  const open = new Set();
  /** @param {string} key @returns {number} */
  const columnOf = (key) => {
    let column = columns.get(key);
    if (column === undefined) {
      open.add(key);
      const own = needs.get(key)?.filter((need) => needs.has(need) && !open.has(need)) ?? [];
      column = 1 + Math.max(-1, ...own.map(columnOf));
      open.delete(key);
      needs.set(key, own);
      columns.set(key, column);
    }
    return column;
  };
  /** @type {Spot[][]} */
  const layers = [];
  /** @param {number} x @returns {Spot} */
  const spotIn = (x) => {
    const spot = { x, y: 0, wish: 0, from: [], to: [] };
    (layers[x] ??= []).push(spot);
    return spot;
  };
  const nodes = new Map(stages.map(({ key }) => [key, spotIn(columnOf(key))]));
  const edges = [...needs].flatMap(([to, own]) =>
    own.map((from) => {
      const [first, last] = [from, to].map((key) => /** @type {Spot} */ (nodes.get(key)));
      const path = [first];
      for (let x = first.x + 1; x < last.x; x++) path.push(spotIn(x));
      path.push(last);
      path.slice(1).forEach((spot, i) => {
        spot.from.push(path[i]);
        path[i].to.push(spot);
      });
      return { from, to, through: path.slice(1, -1) };
    }),
  );
  /** @param {Spot[]} layer */
  const number = (layer) => layer.forEach((spot, i) => (spot.y = i));
  layers.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const side = sweep % 2 ? "to" : "from";
    for (const layer of sweep % 2 ? layers.toReversed() : layers) {
      for (const spot of layer) {
        const near = spot[side];
        spot.wish = near.length ? near.reduce((sum, { y }) => sum + y, 0) / near.length : spot.y;
      }
      number(layer.sort((one, other) => one.wish - other.wish));
    }
  }
  const rows = Math.max(...layers.map(({ length }) => length));
  for (const layer of layers) for (const spot of layer) spot.y += (rows - layer.length) / 2;
  return { nodes, edges, columns: layers.length, rows };
}

/** Draws a view's stages into its canvas. @param {any} view @param {any} canvas */
export function drawGraph(view, canvas, layout = layered) {
  /** @type {readonly Stage[]} */
  const stages = view.state.stages;
  const plan = JSON.stringify(stages.map(({ key, needs }) => [key, needs]));
  if (canvas.plan !== plan) layOut(view, canvas, layout(stages));
  canvas.plan = plan;
  const done = new Set(stages.filter(({ status }) => status === "done").map(({ key }) => key));
  attrs(canvas, { "aria-label": view.t("graphSaid", { done: done.size, of: stages.length }) });
  for (const stage of stages) {
    const { node, name, state } = canvas.cells.get(stage.key);
    look(node, "node", stage.status);
    write(name, view.label(stage) + (stage.runs > 1 ? ` ×${stage.runs}` : ""));
    write(state, view.t(stage.status));
  }
  for (const [path, from] of canvas.edges) look(path, "edge", done.has(from) ? "done" : "waiting");
}

/** @param {{ root: ShadowRoot }} view @param {any} canvas @param {Layout} layout */
function layOut({ root }, canvas, { nodes, edges, columns, rows }) {
  graphStyles ??= sheet(GRAPH_CSS);
  if (!root.adoptedStyleSheets.includes(graphStyles)) root.adoptedStyleSheets.push(graphStyles);
  const right = Math.max(NEAR, Math.min(FAR, ROOM / columns));
  const [width, height] = [(columns - 1) * right + WIDTH, (rows - 1) * DOWN + HEIGHT];
  canvas.edges = edges.map(({ from, to, through }) => {
    let d = "";
    let end = 0; // of the part that is drawn
    let level = 0;
    for (const place of [nodes.get(from), ...through, nodes.get(to)]) {
      if (!place) continue;
      const [x, y] = [place.x * right, place.y * DOWN + HEIGHT / 2];
      const middle = (end + x) / 2;
      d += d ? `L${end} ${level}C${middle} ${level} ${middle} ${y} ${x} ${y}` : `M${x + WIDTH} ${y}`;
      [end, level] = [x + WIDTH, y];
    }
    return [shape("path", { d }), from];
  });
  const lines = canvas.edges.map((/** @type {[Element]} */ [path]) => path);
  canvas.replaceChildren(shape("svg", { class: "edges", viewBox: `0 0 ${width} ${height}` }, ...lines));
  canvas.cells = new Map();
  for (const [key, { x, y }] of nodes) {
    /** @type {import("./nodes.js").Nodes} */
    const cell = {};
    const make = maker(cell);
    canvas.append(make("div", "node", icon(), make("span", "name"), make("span", "state")));
    css(cell.node, "inset-inline-start", `${x * right}em`);
    css(cell.node, "inset-block-start", `${y * DOWN}em`);
    canvas.cells.set(key, cell);
  }
  css(canvas, "--width", `${width}`);
  css(canvas, "inline-size", `${width}em`);
  css(canvas, "block-size", `${height}em`);
}

const GRAPH_CSS = `
.scroller { container-type: inline-size }
.canvas { position: relative; margin-inline: auto; font-size: clamp(.8em, 100cqi / var(--width), 1em) }
.edges { position: absolute; width: 100%; height: 100%; fill: none; stroke-width: .1 }
.edges:dir(rtl) { transform: scaleX(-1) }
.edge { stroke: var(--c) }
.node {
  position: absolute; display: grid; grid: "name name" "icon state" / auto 1fr; gap: 0 .3em; place-content: center start;
  width: 7.5em; height: 3em; padding-inline: .6em; border: 1.5px solid var(--c); border-radius: .5em; line-height: 1.3;
}
.node.run { box-shadow: 0 0 0 1px var(--c) }
.node.off { border-style: dashed }
.node > .icon { grid-area: icon; align-self: center; width: 1em; height: 1em }
.node > span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap }
.name { grid-area: name; font-weight: 600 }
.state { color: var(--_muted); font-size: .8571em }
@media (forced-colors: active) { .edge { stroke: CanvasText } }
`;
