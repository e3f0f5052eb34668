// @ts-nocheck: what nodes are called is made up as they are made
// Nodes of <headway-progress>, and how each status looks. They are written only where something differs, so that a
// tick touches no more than it changes; text as text, and styles through objects.

const CLOCK = "M12 7v5l3 2";
const CHECK = "m7.5 12.5 3 3 6-6.5";
const CROSS = "m8.5 8.5 7 7m0-7-7 7";
const AGAIN = "M17.2 10a5.5 5.5 0 1 0 .3 3.5M17.5 6v4h-4";
const BANG = "M12 6.5V13m0 4h0";
const WHAT = "M9.5 9.7a2.5 2.5 0 1 1 3.6 2.3c-.8.4-1.1.8-1.1 1.6m0 3.4h0";

/** Tone and icon of each status and notice: never the colour alone. */
const LOOKS = {
  __proto__: null,
  connecting: ["wait", ""], waiting: ["wait", ""], queued: ["wait", CLOCK], scheduled: ["wait", CLOCK],
  running: ["run", "M12 12h0"], succeeded: ["ok", CHECK], done: ["ok", CHECK],
  failed: ["err", CROSS], lost: ["err", WHAT], unauthorized: ["err", CROSS], forbidden: ["err", CROSS], refused: ["err", CROSS],
  cancelled: ["off", "M9 9h6v6H9z"], expired: ["off", CLOCK], skipped: ["off", "M8 12h8"], unknown: ["off", WHAT], gap: ["off", BANG],
  retrying: ["warn", AGAIN], interrupted: ["warn", AGAIN], unreachable: ["warn", AGAIN], source: ["warn", AGAIN],
  offline: ["warn", BANG], stalled: ["warn", BANG],
};

export const toneOf = (status) => LOOKS[status]?.[0] ?? "wait";

/** Its name, tone and status become classes and parts; an icon it begins with is drawn. */
export function look(node, name, status = "") {
  const names = status ? `${name} ${toneOf(status)} ${status}` : name;
  attrs(node, { class: names, part: names });
  if (node.firstChild?.tagName === "svg") attrs(node.firstChild.lastChild, { d: LOOKS[status]?.[1] ?? "" });
}

/** Makes elements, and keeps each in `nodes` by its name. */
export const maker = (nodes) => (tag, name, ...children) => {
  const node = (nodes[name] = document.createElement(tag));
  node.append(...children);
  look(node, name);
  return node;
};

export function shape(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  node.append(...children);
  attrs(node, attributes);
  return node;
}

export const icon = () =>
  shape("svg", { viewBox: "0 0 24 24", class: "icon", part: "icon", "aria-hidden": true },
    shape("circle", { cx: 12, cy: 12, r: 10.5 }), shape("path"));

export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function attrs(node, attributes) {
  for (const name in attributes) {
    const value = attributes[name];
    if (value == null) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
}

export function css(node, name, value) {
  if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
}

/** A constructed sheet: a page's policy may forbid inline styles. */
export function sheet(text) {
  const made = new CSSStyleSheet();
  made.replaceSync(text);
  return made;
}
