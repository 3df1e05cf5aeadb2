// Reads queries, one JSON text a line, and prints for each the places where Grafana's own grammar finds no sense.
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
