// Parses TraceQL queries with the grammar of Grafana's query editor.
//
// stdin: a JSON list of queries, or one JSON string per line.
// stdout: one line per query, in order: a JSON list of its syntax errors, such as [{"position": 13, "excerpt": "| x"}].
// Positions count UTF-16 code units. A query without errors gives [].
const fs = require("fs");
const { parser } = require("@grafana/lezer-traceql");

const EXCERPT = 20; // characters, at least

function errors(query) {
  const result = [];
  parser.parse(query).iterate({
    enter(node) {
      // The grammar also accepts Grafana's variables, as values and inside names. Tempo does not.
      const variable = node.name === "TemplateVariable" ||
        (node.name === "Identifier" && query.slice(node.from, node.to).includes("${"));
      if (node.type.isError || variable) {
        const end = Math.max(node.to, node.from + EXCERPT);
        result.push({ position: node.from, excerpt: query.slice(node.from, end) });
      }
    },
  });
  return result;
}

function queries(text) {
  if (text.trimStart().startsWith("[")) return JSON.parse(text);
  return text.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));
}

if (process.argv[2] === "--version") {
  console.log(`lezer-traceql ${require("./package.json").dependencies["@grafana/lezer-traceql"]}`);
} else {
  for (const query of queries(fs.readFileSync(0, "utf8"))) console.log(JSON.stringify(errors(query)));
}
