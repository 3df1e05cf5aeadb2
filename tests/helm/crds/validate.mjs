// Validates custom resources in rendered files against the models of their CRDs. A kind without a model is an error.
import { readFileSync } from "node:fs";
import yaml from "js-yaml";

const packages = {
  "keda.sh": "@kubernetes-models/keda",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
  "external-secrets.io": "@kubernetes-models/external-secrets",
  "grafana.integreatly.org": "@kubernetes-models/grafana-operator",
};

const counts = {};
let failed = false;
for (const path of process.argv.slice(2)) {
  for (const object of yaml.loadAll(readFileSync(path, "utf8"))) {
    if (!object) continue;
    const [group, version] = object.apiVersion.includes("/") ? object.apiVersion.split("/") : ["", object.apiVersion];
    if (!group.includes(".") || (group.endsWith(".k8s.io") && !(group in packages))) continue;
    const model = (await import(`${packages[group]}/${group}/${version}`))[object.kind];
    try {
      new model(object).validate();
      counts[object.kind] = (counts[object.kind] ?? 0) + 1;
    } catch (error) {
      failed = true;
      console.error(`${path}: ${object.kind}/${object.metadata.name}: ${error.message}`);
    }
  }
}
const expected = [
  "ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule", "HTTPRoute", "ExternalSecret", "GrafanaDashboard",
];
for (const kind of expected.filter((kind) => !counts[kind])) {
  failed = true;
  console.error(`no ${kind} was validated: add values that render one to helm/ci`);
}
console.log("valid custom resources:", JSON.stringify(counts));
process.exit(failed ? 1 : 0);
