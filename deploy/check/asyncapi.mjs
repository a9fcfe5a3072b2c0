// Checks a document with AsyncAPI's own parser. Usage: asyncapi.mjs FILE, in the folder that
// contains node_modules.
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const { Parser, fromFile } = createRequire(resolve('package.json'))('@asyncapi/parser');
const { document, diagnostics } = await fromFile(new Parser(), resolve(process.argv[2])).parse();
// Severity 0 is an error, 1 a warning; higher ones are hints.
const faults = diagnostics.filter(({ severity }) => severity <= 1);
for (const { path, message } of faults) console.log(`${path.join('.')}: ${message}`);
if (document && !faults.length) console.log('the document is valid');
process.exitCode = document && !faults.length ? 0 : 1;
