// Prints the licence of every package that esbuild put into the bundle, by its metafile; fails when one is not permissive.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const PERMISSIVE = new Set(["MIT", "0BSD", "ISC", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause"]);
const meta = process.argv[2];
const root = dirname(meta);
const bundled = Object.values(JSON.parse(readFileSync(meta, "utf8")).outputs).flatMap((output) =>
  Object.entries(output.inputs).filter(([, input]) => input.bytesInOutput > 0).map(([path]) => path),
);
const packages = new Set(
  bundled.map((path) => path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]).filter(Boolean),
);

for (const folder of [...packages].sort()) {
  const at = join(root, folder);
  const { name, version, license } = JSON.parse(readFileSync(join(at, "package.json"), "utf8"));
  if (!PERMISSIVE.has(license)) throw new Error(`${name} ${version} is under ${license}`);
  console.log(`== ${name} ${version} (${license})\n`);
  const text = readdirSync(at).find((file) => /^licen[cs]e/i.test(file));
  if (text && existsSync(join(at, text))) console.log(readFileSync(join(at, text), "utf8").trim() + "\n");
}
