// The stdio protocol of conformance/PROTOCOL.md: a line in, a line out.
"use strict";

const { Refused, check, createImage } = require("./format.js");
const { Disk } = require("./disk.js");

const LONGEST_LINE = 16 << 20;

let disk = null;

function opened() {
  if (disk === null) throw new Error("no image is open");
  return disk;
}

const handlers = {
  start: () => ({
    protocol: 1,
    name: "stdio-node",
    version: "1",
    language: "JavaScript",
    homepage: "",
    issues: "",
    revisions: ["v10"],
    capabilities: ["create", "write", "zeroes", "extents", "info", "fua", "directory"],
  }),
  create(asked) {
    check(asked.revision === "v10", "", "v10 is the only revision here");
    createImage(asked);
    return {};
  },
  open(asked) {
    if (disk !== null) throw new Error("an image is open already");
    check(asked.revision === "v10", "", "v10 is the only revision here");
    if (asked.directory !== null) process.chdir(asked.directory);
    disk = new Disk(asked.path, asked.writable);
    return { size: disk.size };
  },
  read: (asked) => ({ data: opened().read(asked.offset, asked.length).toString("base64") }),
  write(asked) {
    opened().write(asked.offset, Buffer.from(asked.data, "base64"));
    if (asked.fua) disk.flush();
    return {};
  },
  zeroes(asked) {
    opened().zeroes(asked.offset, asked.length);
    if (asked.fua) disk.flush();
    return {};
  },
  flush() {
    opened().flush();
    return {};
  },
  extents: (asked) => ({ extents: opened().extents(asked.offset, asked.length) }),
  info: () => opened().info(),
  close() {
    const closing = opened();
    disk = null;
    closing.close();
    return {};
  },
};

function answer(asked) {
  try {
    if (!Object.hasOwn(handlers, asked.do)) throw new Error(`there is no request ${asked.do} here`);
    return { seq: asked.seq, result: handlers[asked.do](asked) };
  } catch (error) {
    if (!(error instanceof Refused)) return { seq: asked.seq, error: String(error.message) };
    const refused = { reason: error.message };
    if (error.rule) refused.rule = error.rule;
    return { seq: asked.seq, refused };
  }
}

let pieces = [];
let held = 0;

process.stdin.on("data", (chunk) => {
  let start = 0;
  for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
    pieces.push(chunk.subarray(start, end));
    const line = Buffer.concat(pieces).toString();
    pieces = [];
    held = 0;
    start = end + 1;
    process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
  }
  pieces.push(chunk.subarray(start));
  held += chunk.length - start;
  if (held > LONGEST_LINE) throw new Error("a line is too long");
});
process.stdin.on("end", () => {
  if (disk !== null) disk.close();
});
