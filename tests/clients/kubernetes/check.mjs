// Custom resources, as a JSON array on standard input, against their own definitions: their values by the models'
// validators, and that there is no key that nobody knows by the models' types. Prints what is wrong.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const MODELS = {
  "gateway.networking.k8s.io/v1/HTTPRoute": "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute",
  "keda.sh/v1alpha1/ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
  "monitoring.coreos.com/v1/PodMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor",
  "monitoring.coreos.com/v1/PrometheusRule":
    "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
};

const wrong = [];
const typed = [];
for (const [number, resource] of JSON.parse(readFileSync(0)).entries()) {
  const name = `${resource.apiVersion}/${resource.kind}`;
  const model = MODELS[name];
  if (model === undefined) {
    wrong.push(`${name}: nobody here knows it`);
    continue;
  }
  typed.push(`import type { I${resource.kind} as Type${number} } from "${model}";`);
  typed.push(`export const resource${number}: Type${number} = ${JSON.stringify(resource, null, 1)};`);
  try {
    new (await import(model))[resource.kind](resource).validate();
  } catch (error) {
    wrong.push(`${name}: ${error.message}`);
  }
}

const folder = fileURLToPath(new URL(`node_modules/.checked-${process.pid}/`, import.meta.url));
mkdirSync(folder, { recursive: true });
try {
  writeFileSync(`${folder}resources.ts`, typed.join("\n"));
  const compiler = fileURLToPath(new URL("node_modules/.bin/tsc", import.meta.url));
  const options = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"];
  const done = spawnSync(compiler, [...options, `${folder}resources.ts`], { encoding: "utf8" });
  if (done.status !== 0) wrong.push(done.stdout + done.stderr);
} finally {
  rmSync(folder, { recursive: true });
}
process.stdout.write(wrong.join("\n"));
