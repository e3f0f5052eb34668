// Elements made by hand. What comes from elsewhere is text, never markup.

/** An element with these properties and children; `class` and `aria-…` are attributes. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class" || name.includes("-")) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child != null && child !== ""));
  return node;
}

/** Say something, unless it is said already: a screen reader would say it again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** "1 page", "1,204 pages" */
export const counted = (n, one, more = `${one}s`) => `${n.toLocaleString()} ${n === 1 ? one : more}`;

/** "812 B", "14.2 MB" */
export function size(bytes) {
  const at = bytes < 1024 ? 0 : bytes < 1024 ** 2 ? 1 : 2;
  return `${(bytes / 1024 ** at).toFixed(at === 2 ? 1 : 0)} ${["B", "KB", "MB"][at]}`;
}

/** "0:07", "12:05": a place in a video. */
export const place = (seconds) =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** Times that the server has written in UTC, said as this browser's clock says them. */
export function localTimes(root = document) {
  const today = new Date().toDateString();
  for (const node of root.querySelectorAll("time")) {
    const at = new Date(node.dateTime);
    const day = at.toDateString() === today ? undefined : "medium";
    say(node, at.toLocaleString(undefined, { timeStyle: "short", dateStyle: day }));
  }
}
