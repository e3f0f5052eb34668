// Graphs to begin with. Their facts come from this site's own sample report.

const REPORT = "/static/sample.txt";
const node = (id, kind, params = {}) => ({ id, kind, params });
const edges = (...pairs) => pairs.map((pair) => pair.split(" ")).map(([source, target]) => ({ source, target }));

export const examples = {
  research: {
    nodes: [
      node("report", "fetch", { path: REPORT }),
      node("site", "fetch", { path: "/" }),
      node("page-text", "transform", { operation: "plain-text" }),
      node("summary", "transform", { operation: "summary" }),
      node("terms", "compute", { operation: "frequencies" }),
      node("answer", "write", { sentences: 5 }),
      node("keep", "store"),
    ],
    edges: edges(
      "site page-text", "report summary", "report terms", "report answer", "page-text answer",
      "answer keep", "summary keep", "terms keep",
    ),
  },
  compare: {
    nodes: [
      node("report", "fetch", { path: REPORT }),
      node("words", "compute", { operation: "words" }),
      node("figures", "compute", { operation: "numbers" }),
      node("terms", "compute", { operation: "frequencies" }),
      node("answer", "write", { sentences: 3 }),
      node("shout", "transform", { operation: "upper" }),
    ],
    edges: edges("report words", "report figures", "report terms", "report answer", "answer shout"),
  },
  own: {
    nodes: [node("page", "fetch", { path: REPORT }), node("count", "compute", { operation: "words" }), node("answer", "write")],
    edges: edges("page count", "page answer"),
  },
};
