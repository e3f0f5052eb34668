// @ts-check
// Where the nodes of a graph stand: in layers, each right of all that it needs, with few crossings. Pure.

/** @import { Stage } from "./types.js" */
/** @typedef {{ at: number, from: Place[], to: Place[], y: number, key: string | null }} Place */
/** @typedef {{ nodes: Map<string, { x: number, y: number }>, edges: { from: string, to: string, through: { x: number, y: number }[] }[], columns: number, rows: number }} Layout */

const SWEEPS = 4;

/**
 * Places in columns and rows, which are 1 apart. An edge that crosses a column passes `through` a place of its own
 * there. Keys nobody has are no edges, nor is what would close a circle. Stages that stand first stay on top.
 * @param {readonly Pick<Stage, "key" | "needs">[]} stages
 * @returns {Layout}
 */
export function layered(stages) {
  const needs = new Map(stages.map(({ key, needs }) => [key, [...new Set(needs)]]));
  /** @type {Map<string, number>} */
  const column = new Map();
  /** @type {Set<string>} */
  const open = new Set();
  const visit = (/** @type {string} */ key) => {
    if (!column.has(key)) {
      open.add(key);
      const own = (needs.get(key) ?? []).filter((need) => needs.has(need) && !open.has(need));
      needs.set(key, own);
      column.set(key, Math.max(0, ...own.map((need) => visit(need) + 1)));
      open.delete(key);
    }
    return column.get(key) ?? 0;
  };
  for (const key of needs.keys()) visit(key);

  /** @type {Place[][]} */
  const layers = [];
  const place = (/** @type {number} */ at, /** @type {string | null} */ key) => {
    const made = { at, key, from: [], to: [], y: 0 };
    (layers[at] ??= []).push(made);
    return made;
  };
  const places = new Map([...needs.keys()].map((key) => [key, place(column.get(key) ?? 0, key)]));
  const paths = [...needs].flatMap(([key, own]) => own.map((need) => {
    const [first, last] = [/** @type {Place} */ (places.get(need)), /** @type {Place} */ (places.get(key))];
    const path = [first];
    while (path.length < last.at - first.at) path.push(place(first.at + path.length, null));
    path.push(last);
    path.forEach((here, i) => i && (here.from.push(path[i - 1]), path[i - 1].to.push(here)));
    return path;
  }));

  settle(layers);
  const top = Math.min(...layers.flat().map(({ y }) => y));
  const spot = (/** @type {Place} */ { at, y }) => ({ x: at, y: y - top });
  return {
    nodes: new Map([...places].map(([key, here]) => [key, spot(here)])),
    edges: paths.map((path) => ({
      from: path[0].key ?? "", to: path[path.length - 1].key ?? "", through: path.slice(1, -1).map(spot),
    })),
    columns: layers.length,
    rows: 1 + Math.max(...layers.flat().map(({ y }) => y)) - top,
  };
}

/** Order each layer by where its neighbours are, then draw them level with those. @param {Place[][]} layers */
function settle(layers) {
  const mean = (/** @type {Place[]} */ places, /** @type {number} */ otherwise) =>
    places.length ? places.reduce((sum, { y }) => sum + y, 0) / places.length : otherwise;
  for (const layer of layers) layer.forEach((here, i) => (here.y = i));
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const side = sweep % 2 ? "to" : "from";
    for (const layer of sweep % 2 ? layers.toReversed() : layers) {
      const wish = new Map(layer.map((here) => [here, mean(here[side], here.y)]));
      layer.sort((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0));
      layer.forEach((here, i) => (here.y = i));
    }
  }
  for (const layer of layers) for (const here of layer) here.y -= (layer.length - 1) / 2;
}
