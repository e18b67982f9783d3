// Compiles Kaitai Struct specifications to Python: node compile_ksy.js OUTPUT_DIRECTORY FILE.ksy...
"use strict";

const fs = require("fs");
const path = require("path");
const compiler = require("kaitai-struct-compiler");
const yaml = require("yaml");

async function compile(directory, source) {
  const specification = yaml.parse(fs.readFileSync(source, "utf8"), { strict: true, uniqueKeys: true });
  if (`${specification.meta.id}.ksy` !== path.basename(source)) {
    throw new Error(`${source}: the file is not named after meta/id ${specification.meta.id}`);
  }
  const imports = { importYaml: (name) => Promise.reject(new Error(`${source}: imports ${name}`)) };
  const files = await compiler.compile("python", specification, imports, false);
  for (const [name, text] of Object.entries(files)) {
    fs.writeFileSync(path.join(directory, name), text);
  }
}

const [directory, ...sources] = process.argv.slice(2);
Promise.all(sources.map((source) => compile(directory, source))).catch((error) => {
  console.error(String(error));
  process.exitCode = 1;
});
