// Checks a document with AsyncAPI's own parser. Usage: asyncapi.mjs FILE (modules are taken from the folder that it is started in)
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const { Parser, fromFile } = createRequire(resolve('package.json'))('@asyncapi/parser');
const { document, diagnostics } = await fromFile(new Parser(), resolve(process.argv[2])).parse();
// 0 is an error, 1 a warning; what is below is advice.
const faults = diagnostics.filter(({ severity }) => severity <= 1);
for (const { path, message } of faults) console.log(`${path.join('.')}: ${message}`);
if (document && !faults.length) console.log('the document is well');
process.exitCode = document && !faults.length ? 0 : 1;
