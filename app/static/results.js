// What came of a task, by the pipeline it ran.

import { counted, make, place, size } from "./dom.js";

const ENTITIES = { name: "Names", date: "Dates", money: "Sums", email: "E-mail addresses", url: "Links" };
const MOST_VALUES = 30;

/** The nodes that show what an ended task has brought; none if that is nothing. */
export function draw(state) {
  const { name, result, stages } = state;
  const parts = [];
  if (name === "workers.graphs") parts.push(...graph(stages, result));
  else if (state.status !== "succeeded" || result == null) return [];
  else if (name === "workers.documents") parts.push(...documents(result));
  else if (name === "workers.videos") parts.push(...video(result));
  if (result != null) parts.push(raw(result));
  return parts;
}

const raw = (result) =>
  make("details", {}, make("summary", {}, "As JSON"), make("pre", { tabIndex: 0 }, JSON.stringify(result, null, 2)));

const facts = (...pairs) =>
  make("dl", { class: "facts" }, ...pairs.filter(Boolean).map(([term, said]) => make("div", {}, make("dt", {}, term), make("dd", {}, said))));

const titled = (title, ...children) => make("div", { class: "part" }, make("h3", {}, title), ...children);

// -- documents -----------------------------------------------------------------------------------------------

function documents({ pages, words, chunks, phrases, entities, confidence, because, excerpt }) {
  const percent = Math.round(confidence * 100);
  const meter = make("meter", { min: 0, max: 1, low: 0.5, high: 0.8, optimum: 1, value: confidence, "aria-label": "Confidence" }, `${percent}%`);
  const sure = make("div", { class: "sure" }, make("strong", {}, `${percent}% sure`), meter,
    make("p", { class: "quiet" }, because.length ? sentence(because.join(", ")) : "All of the text could be read."));
  const groups = Map.groupBy?.(entities, ({ kind }) => kind) ?? grouped(entities);
  return [
    sure,
    facts(["Pages", pages.toLocaleString()], ["Words", words.toLocaleString()],
      ["Chunks", make("a", { href: own(chunks.url) }, counted(chunks.count, "chunk"))]),
    phrases.length ? titled("Key phrases", make("ol", { class: "chips" },
      ...phrases.map(({ text, count }) => make("li", {}, text, make("span", {}, ` ×${count}`))))) : "",
    ...[...groups].map(([kind, found]) => titled(ENTITIES[kind] ?? kind, make("ul", { class: "chips" },
      ...found.map(({ text, count }) => make("li", {}, text, count > 1 ? make("span", {}, ` ×${count}`) : ""))))),
    excerpt ? titled("It begins", make("blockquote", {}, `${excerpt}…`)) : "",
  ].filter(Boolean);
}

function grouped(entities) {
  const groups = new Map();
  for (const each of entities) groups.set(each.kind, [...(groups.get(each.kind) ?? []), each]);
  return groups;
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

// -- videos --------------------------------------------------------------------------------------------------

function video({ video, bytes, seconds, source, thumbnails, scenes }) {
  const player = make("video", { controls: true, preload: "metadata", playsInline: true, src: own(video), "aria-label": "The converted video" });
  const seek = (at) => () => {
    player.currentTime = at;
    player.scrollIntoView({ block: "nearest" });
  };
  return [
    player,
    facts(["Length", `${seconds.toFixed(1)} s`], ["Size", size(bytes)], ["Source", `${source.codec}, ${source.width} × ${source.height}`]),
    titled("Thumbnails", make("ul", { class: "thumbnails" }, ...thumbnails.map(({ at, url }) => make("li", {},
      make("button", { type: "button", onclick: seek(at) }, make("img", { src: own(url), alt: "", width: 160 }), `Go to ${place(at)}`))))),
    titled("Scenes", make("ol", { class: "chips" }, ...scenes.map(({ start, end }) => make("li", {},
      make("button", { type: "button", class: "plain", onclick: seek(start) }, `${place(start)} – ${place(end)}`))))),
  ];
}

// -- graphs --------------------------------------------------------------------------------------------------

function graph(stages, result) {
  const found = stages.filter(({ data }) => typeof data?.text === "string");
  const last = new Set(result?.last ?? []);
  return found.map(({ key, data }) => make("details", { open: last.has(key) && !data.tokens },
    make("summary", {}, key, make("span", { class: "kind" }, data.kind)),
    data.url ? make("p", {}, make("a", { href: own(data.url) }, "What was stored"), `, ${size(data.bytes)}`)
      : data.values ? values(data.values) : make("p", { class: "text" }, data.text),
    data.characters && !data.url ? make("p", { class: "quiet" }, `The beginning of ${counted(data.characters, "character")}`) : ""));
}

const values = (all) => facts(...Object.entries(all).slice(0, MOST_VALUES)
  .map(([name, value]) => [name, typeof value === "number" ? value.toLocaleString() : String(value)]));

/** An address on this site, or none: what a task says must not become a link that runs code. */
function own(url) {
  return typeof url === "string" && /^\/(?!\/)/.test(url) ? url : "#";
}
