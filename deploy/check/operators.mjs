// Checks the manifests of operators against their published models. Usage: operators.mjs BUILT, in
// the folder that contains node_modules.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(resolve('package.json'));
const packages = {
  'keda.sh/v1alpha1': '@kubernetes-models/keda',
  'monitoring.coreos.com/v1': '@kubernetes-models/prometheus-operator',
  'postgresql.cnpg.io/v1': '@kubernetes-models/cloudnative-pg',
};
let checked = 0;
for (const manifest of require('js-yaml').loadAll(readFileSync(process.argv[2], 'utf8'))) {
  const home = packages[manifest?.apiVersion];
  if (!home) continue;
  const file = resolve('node_modules', home, manifest.apiVersion, `${manifest.kind}.js`);
  const model = (await import(pathToFileURL(file)))[manifest.kind];
  try {
    new model(manifest).validate();
    checked += 1;
  } catch (error) {
    console.log(`${manifest.kind} ${manifest.metadata.name}: ${error.message}`);
    process.exitCode = 1;
  }
}
console.log(`${checked} manifests of operators are valid`);
if (!checked) process.exitCode = 1;
