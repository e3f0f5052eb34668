// Graphs to begin with. Their facts come from this site's own sample report.

const CHAPTERS = "/static/sample.txt";
const REPORT = "/samples/report.txt"; // the chapters and a log-book of fourteen years
const node = (id, kind, params = {}) => ({ id, kind, params });
const edges = (...pairs) => pairs.map((pair) => pair.split(" ")).map(([source, target]) => ({ source, target }));

export const examples = {
  research: {
    nodes: [
      node("report", "fetch", { path: REPORT }),
      node("site", "fetch", { path: "/" }),
      node("names", "compute", { operation: "names" }),
      node("phrases", "compute", { operation: "phrases" }),
      node("figures", "compute", { operation: "numbers" }),
      node("summary", "transform", { operation: "summary" }),
      node("page-text", "transform", { operation: "plain-text" }),
      node("answer", "write", { sentences: 6 }),
      node("keep", "store"),
    ],
    edges: edges(
      "report names", "report phrases", "report figures", "report summary", "site page-text",
      "report answer", "summary answer", "page-text answer",
      "names keep", "phrases keep", "figures keep", "answer keep",
    ),
  },
  compare: {
    nodes: [
      node("report", "fetch", { path: CHAPTERS }),
      node("words", "compute", { operation: "words" }),
      node("figures", "compute", { operation: "numbers" }),
      node("terms", "compute", { operation: "frequencies" }),
      node("answer", "write", { sentences: 3 }),
      node("shout", "transform", { operation: "upper" }),
    ],
    edges: edges("report words", "report figures", "report terms", "report answer", "answer shout"),
  },
  own: {
    nodes: [node("page", "fetch", { path: CHAPTERS }), node("count", "compute", { operation: "words" }), node("answer", "write")],
    edges: edges("page count", "page answer"),
  },
};
