// Reads queries, one JSON string per line, and prints the syntax errors that Grafana's grammar finds in each.
import { createInterface } from "node:readline";
import { parser } from "@grafana/lezer-logql";

for await (const line of createInterface({ input: process.stdin })) {
  const query = JSON.parse(line);
  const errors = [];
  parser.parse(query).iterate({
    enter: (node) => {
      if (node.type.isError) errors.push(query.slice(node.from, node.to + 20) || `at ${node.from}`);
    },
  });
  console.log(JSON.stringify(errors));
}
