// The header of v10, and the files that it names: spec/02-header.md, 04-names.md and 05-features.md.
"use strict";

const fs = require("node:fs");

const MAGIC = Buffer.from("ADD_COW\xff", "latin1");
const QCOW2_MAGIC = Buffer.from("QFI\xfb", "latin1");
const HEADER = 4096;
const RESERVED = 36;
const CLUSTER = 65536;
const LONGEST_NAME = 4059;
const LAST_NAME = 4094;
const HAS_BACKING = 1;
const NO_PROBE = 2;
// Bytes from which on the version can be told.
const VERSIONED = 12;
// Types of the file systems that are mounted at /proc and /sys, and below them: linux/magic.h.
const PSEUDO = new Set([
  0x9fa0n, // proc
  0x62656572n, // sysfs
  0x64626720n, // debugfs
  0x74726163n, // tracefs
  0x27e0ebn, // cgroup
  0x63677270n, // cgroup2
  0x73636673n, // securityfs
  0xf97cff8cn, // selinuxfs
  0x42494e4dn, // binfmt_misc
  0xcafe4a11n, // bpf
  0xde5e81e4n, // efivarfs
  0x6165676cn, // pstore
  0x43415d53n, // smackfs
  0x6e736673n, // nsfs
]);

class Refused extends Error {
  constructor(rule, message) {
    super(message);
    this.rule = rule;
  }
}

function check(holds, rule, message) {
  if (!holds) throw new Refused(rule, message);
}

/** The number of bytes of the bitmap of a disk. */
function bitmapLength(size) {
  return Math.ceil(Math.ceil(size / CLUSTER) / 8);
}

/** Read what is there of a range; the rest are zeros. */
function readPadded(file, offset, length) {
  const data = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const got = fs.readSync(file, data, done, length - done, offset + done);
    if (got === 0) break;
    done += got;
  }
  return data;
}

function writeAll(file, data, offset) {
  for (let done = 0; done < data.length; ) {
    done += fs.writeSync(file, data, done, data.length - done, offset + done);
  }
}

/** Open a file that an image names, or the image itself: a regular file, and nothing that blocks. */
function openFile(path, flags, absent) {
  let stat, system;
  try {
    stat = fs.statSync(path, { bigint: true });
    system = fs.statfsSync(path, { bigint: true });
  } catch (error) {
    throw new Refused(absent, error.message);
  }
  check(stat.isFile() && !PSEUDO.has(system.type), "ACW-ENV-003", "a named file is no regular file");
  let file;
  try {
    file = fs.openSync(path, flags);
  } catch (error) {
    throw new Refused(absent, error.message);
  }
  return { file, identity: `${stat.dev}:${stat.ino}`, length: Number(stat.size) };
}

/** Where a name leads: from the directory of the path of the add-cow file, links unresolved (ACW-NAM-010). */
function resolve(path, name) {
  if (name[0] === 0x2f) return name;
  const own = Buffer.from(path);
  return Buffer.concat([own.subarray(0, own.lastIndexOf("/") + 1), name]);
}

/** The header of an add-cow file of so many bytes: its two names, the second one null without a backing file. */
function parseHeader(header, length) {
  check(header.subarray(0, 8).equals(MAGIC), "ACW-HDR-001", "this is no add-cow file");
  check(length >= VERSIONED, "ACW-HDR-003", "the header ends inside the version");
  check(header.readUInt32LE(8) === 1, "ACW-HDR-002", "the version is unknown");
  check(length >= HEADER, "ACW-HDR-003", "the header is cut off");
  const [backingAt, backingSize, imageAt, imageSize] = [12, 16, 20, 24].map((at) => header.readUInt32LE(at));
  const features = header.readUInt32LE(28);
  check(features <= 3 && header.readUInt32LE(32) === 0, "ACW-FEA-003", "a feature bit is unknown");
  check(Boolean(features & HAS_BACKING) === (backingAt !== 0), "ACW-FEA-001", "the bit BACKING_FILE is wrong");
  check(!(features & NO_PROBE) || features & HAS_BACKING, "ACW-FEA-002", "a format, and no backing file");
  check(backingAt !== 0 || backingSize === 0, "ACW-NAM-004", "a size, and no backing file");
  check(backingAt === 0 || backingSize !== 0, "ACW-NAM-005", "the backing file's name is empty");
  check(imageAt !== 0 && imageSize !== 0, "ACW-NAM-006", "there is no image file");
  const image = nameAt(header, imageAt, imageSize);
  return { image, backing: backingAt ? nameAt(header, backingAt, backingSize) : null, probe: !(features & NO_PROBE) };
}

function nameAt(header, at, size) {
  check(at >= RESERVED && at + size <= HEADER, "ACW-NAM-001", "a name lies outside of its place");
  check(at <= LAST_NAME, "ACW-NAM-002", "a name starts too late");
  check(size <= LONGEST_NAME, "ACW-NAM-003", "a name is too long");
  const name = Buffer.from(header.subarray(at, at + size));
  check(!name.includes(0), "ACW-NAM-007", "a name holds a NUL");
  const colon = name.indexOf(":");
  const slash = name.indexOf("/");
  check(colon === -1 || (slash !== -1 && slash < colon), "ACW-NAM-011", "a name is no local path");
  return name;
}

function buildHeader(image, backing, raw) {
  const header = Buffer.alloc(HEADER);
  MAGIC.copy(header);
  header.writeUInt32LE(1, 8);
  header.writeUInt32LE(RESERVED, 20);
  header.writeUInt32LE(image.length, 24);
  image.copy(header, RESERVED);
  if (backing !== null) {
    header.writeUInt32LE(RESERVED + image.length, 12);
    header.writeUInt32LE(backing.length, 16);
    header.writeUInt32LE(HAS_BACKING | (raw ? NO_PROBE : 0), 28);
    backing.copy(header, RESERVED + image.length);
  }
  return header;
}

/** Open an image with all of its files, or refuse it with none open (ACW-DYN-009). */
function openChain(path, writable) {
  const files = [];
  const open = (name, flags, rule) => {
    files.push(openFile(name, flags, rule));
    return files.at(-1);
  };
  try {
    const own = open(path, writable ? "r+" : "r", "");
    const header = parseHeader(readPadded(own.file, 0, HEADER), own.length);
    const image = open(resolve(path, header.image), writable ? "r+" : "r", "ACW-ENV-001");
    const backing = header.backing && open(resolve(path, header.backing), "r", "ACW-ENV-002");
    check(new Set(files.map((file) => file.identity)).size === files.length, "ACW-CHN-001", "a file has two parts");
    if (backing && header.probe) {
      const start = readPadded(backing.file, 0, 8);
      const raw = !start.equals(MAGIC) && !start.subarray(0, 4).equals(QCOW2_MAGIC);
      check(raw, "", "the backing file's format is none that is read here");
    }
    const end = HEADER + bitmapLength(image.length);
    check(own.length >= end, "ACW-BMP-001", "the bitmap is cut off");
    const spare = Math.ceil(image.length / CLUSTER) % 8;
    const last = spare ? readPadded(own.file, end - 1, 1)[0] : 0;
    check(last >> spare === 0, "ACW-BMP-002", "bits past the last cluster are set");
    return { own, image, backing, header };
  } catch (error) {
    for (const { file } of files) fs.closeSync(file);
    throw error;
  }
}

/** Make an image: complete and durable under its own name, or not there at all (ACW-DYN-010). */
function createImage({ path, image_file, backing_file, backing_format }) {
  const image = Buffer.from(image_file);
  const backing = backing_file === null ? null : Buffer.from(backing_file);
  check(backing !== null || backing_format === null, "ACW-FEA-002", "a format, and no backing file");
  const header = buildHeader(image, backing, backing_format === "raw");
  const draft = `${path}.draft-${process.pid}`;
  const raw = openFile(resolve(path, image), "r", "ACW-ENV-001");
  fs.closeSync(raw.file);
  const file = fs.openSync(draft, "wx");
  try {
    fs.ftruncateSync(file, HEADER + bitmapLength(raw.length));
    fs.fsyncSync(file);
    writeAll(file, header, 0);
    fs.fsyncSync(file);
    const made = openChain(draft, false);
    for (const part of [made.own, made.image, made.backing]) if (part) fs.closeSync(part.file);
    publish(draft, path);
  } finally {
    fs.closeSync(file);
    fs.unlinkSync(draft);
  }
}

function publish(draft, path) {
  try {
    fs.linkSync(draft, path);
  } catch (error) {
    check(error.code !== "EEXIST", "ACW-DYN-010", "a file of that name exists");
    throw error;
  }
  const directory = fs.openSync(path.slice(0, path.lastIndexOf("/") + 1) || ".", "r");
  fs.fsyncSync(directory);
  fs.closeSync(directory);
}

module.exports = { CLUSTER, HEADER, Refused, bitmapLength, check, createImage, openChain, readPadded, writeAll };
