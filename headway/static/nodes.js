// @ts-check
// Nodes of <headway-progress>, and how each status looks. They are written only where something differs, so that a
// tick touches no more than it changes; text as text, and styles through objects.

const CLOCK = "M12 7v5l3 2";
const CHECK = "m7.5 12.5 3 3 6-6.5";
const CROSS = "m8.5 8.5 7 7m0-7-7 7";
const AGAIN = "M17.2 10a5.5 5.5 0 1 0 .3 3.5M17.5 6v4h-4";
const STOP = "M9 9h6v6H9z";
const BANG = "M12 6.5V13m0 4h0";
const WHAT = "M9.5 9.7a2.5 2.5 0 1 1 3.6 2.3c-.8.4-1.1.8-1.1 1.6m0 3.4h0";

/** Tone and icon of each status and notice: never the colour alone. @type {Record<string, string[]>} */
const LOOKS = {
  // @ts-expect-error: a status may be called "constructor", as far as this page knows
  __proto__: null,
  connecting: ["wait", ""],
  waiting: ["wait", ""],
  queued: ["wait", CLOCK],
  scheduled: ["wait", CLOCK],
  running: ["run", "M12 12h0"],
  succeeded: ["ok", CHECK],
  done: ["ok", CHECK],
  failed: ["err", CROSS],
  lost: ["err", WHAT],
  unauthorized: ["err", CROSS],
  forbidden: ["err", CROSS],
  refused: ["err", CROSS],
  cancelled: ["off", STOP],
  expired: ["off", CLOCK],
  skipped: ["off", "M8 12h8"],
  unknown: ["off", WHAT],
  gap: ["off", BANG],
  retrying: ["warn", AGAIN],
  cancelling: ["warn", STOP],
  interrupted: ["warn", AGAIN],
  unreachable: ["warn", AGAIN],
  source: ["warn", AGAIN],
  offline: ["warn", BANG],
  stalled: ["warn", BANG],
};

/** One of wait, run, ok, warn, err, off. @param {string} status */
export const toneOf = (status) => LOOKS[status]?.[0] ?? "wait";

/** Its name, tone and status become classes and parts; an icon it begins with is drawn. @param {Element} node @param {string} name */
export function look(node, name, status = "") {
  const names = status ? `${name} ${toneOf(status)} ${status}` : name;
  attrs(node, { class: names, part: names });
  const first = node.firstElementChild;
  if (first?.lastElementChild && first.tagName === "svg") attrs(first.lastElementChild, { d: LOOKS[status]?.[1] ?? "" });
}

/** What `maker` has made, by name. @typedef {Record<string, any>} Nodes */

/** @typedef {(tag: string, name: string, ...children: Node[]) => any} Make */

/** Makes elements, and keeps each in `nodes` by its name. @param {Nodes} nodes @returns {Make} */
export const maker = (nodes) => (tag, name, ...children) => {
  const node = (nodes[name] = document.createElement(tag));
  node.append(...children);
  look(node, name);
  return node;
};

/** Makes a part of a drawing. @param {string} tag @param {Record<string, unknown>} attributes @param {Node[]} children */
export function shape(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  node.append(...children);
  attrs(node, attributes);
  return node;
}

export const icon = () =>
  shape(
    "svg",
    { viewBox: "0 0 24 24", class: "icon", part: "icon", "aria-hidden": true },
    shape("circle", { cx: 12, cy: 12, r: 10.5 }),
    shape("path", {}),
  );

/** @param {Node} node @param {string} text */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** What is null or undefined is removed. @param {Element} node @param {Record<string, unknown>} attributes */
export function attrs(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
  }
}

/** @param {any} node @param {string} name @param {string} value */
export function css(node, name, value) {
  if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
}

/** A constructed sheet: a page's policy may forbid inline styles. @param {string} text */
export function sheet(text) {
  const made = new CSSStyleSheet();
  made.replaceSync(text);
  return made;
}
