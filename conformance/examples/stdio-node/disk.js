// An opened image as a disk: spec/03-bitmap.md, 06-behaviour.md and 07-crash-consistency.md.
"use strict";

const fs = require("node:fs");
const { CLUSTER, HEADER, check, openChain, readPadded, writeAll } = require("./format.js");

// Bytes of the bitmap that may be changed in memory alone (ACW-DYN-008), and extents of one answer.
const MOST_PENDING = 4096;
const MOST_EXTENTS = 10000;

class Disk {
  constructor(path, writable) {
    const { own, image, backing, header } = openChain(path, writable);
    this.header = header;
    this.writable = writable;
    this.size = image.length;
    this.own = own.file;
    this.image = image.file;
    this.backing = backing ? backing.file : null;
    this.below = backing ? backing.length : 0;
    // Bytes of the bitmap as they will be, by their number. The bits of no other byte have changed.
    this.pending = new Map();
    // Whoever was killed before us may have left bits that are not durable: the first flush syncs them, too.
    this.unsynced = writable;
    this.lost = false;
  }

  inside(offset, length) {
    const end = offset + length;
    check(end <= this.size, "ACW-DYN-007", `bytes ${offset} to ${end} are not on a disk of ${this.size}`);
  }

  changing(offset, length) {
    this.inside(offset, length);
    check(this.writable, "ACW-DYN-004", "the image is open for reading");
    if (this.lost) throw new Error("a flush has failed before");
  }

  // --- the bitmap

  byteOf(cluster) {
    const at = Math.floor(cluster / 8);
    return this.pending.get(at) ?? readPadded(this.own, HEADER + at, 1)[0];
  }

  isSet(cluster) {
    return Boolean((this.byteOf(cluster) >> cluster % 8) & 1);
  }

  set(cluster) {
    this.pending.set(Math.floor(cluster / 8), this.byteOf(cluster) | (1 << cluster % 8));
    if (this.pending.size >= MOST_PENDING) this.flush();
  }

  // --- requests

  /** The parts of a range, one for each cluster. */
  *parts(offset, length) {
    for (let start = offset; start < offset + length; ) {
      const cluster = Math.floor(start / CLUSTER);
      const end = Math.min((cluster + 1) * CLUSTER, offset + length);
      yield { cluster, start, end };
      start = end;
    }
  }

  read(offset, length) {
    this.inside(offset, length);
    const pieces = [];
    for (const { cluster, start, end } of this.parts(offset, length)) {
      pieces.push(this.isSet(cluster) ? readPadded(this.image, start, end - start) : this.readBelow(start, end));
    }
    return Buffer.concat(pieces);
  }

  readBelow(start, end) {
    return this.backing === null ? Buffer.alloc(end - start) : readPadded(this.backing, start, end - start);
  }

  write(offset, data) {
    this.changing(offset, data.length);
    for (const { cluster, start, end } of this.parts(offset, data.length)) {
      this.writePart(cluster, start, data.subarray(start - offset, end - offset));
    }
  }

  zeroes(offset, length) {
    this.changing(offset, length);
    for (const { cluster, start, end } of this.parts(offset, length)) {
      this.writePart(cluster, start, Buffer.alloc(end - start));
    }
  }

  /** Write in one cluster; where its bit is clear, the rest of it is copied from below (ACW-DYN-003). */
  writePart(cluster, start, data) {
    if (this.isSet(cluster)) {
      writeAll(this.image, data, start);
      return;
    }
    const first = cluster * CLUSTER;
    const whole = this.readBelow(first, Math.min(first + CLUSTER, this.size));
    data.copy(whole, start - first);
    writeAll(this.image, whole, first);
    this.set(cluster);
  }

  /** Data first, and then the bits that vouch for it (ACW-DYN-005). What a sync has lost is lost for good. */
  flush() {
    if (this.lost) throw new Error("a flush has failed before");
    if (!this.writable) return;
    try {
      fs.fdatasyncSync(this.image);
      if (!this.pending.size && !this.unsynced) return;
      for (const [at, byte] of this.pending) writeAll(this.own, Buffer.from([byte]), HEADER + at);
      fs.fdatasyncSync(this.own);
    } catch (error) {
      this.lost = true;
      throw error;
    }
    this.pending.clear();
    this.unsynced = false;
  }

  extents(offset, length) {
    this.inside(offset, length);
    const found = [];
    const add = (start, end, kind) => {
      const last = found.at(-1);
      if (start >= end) return;
      if (last && last.depth === kind.depth && last.present === kind.present) last.length += end - start;
      else found.push({ start, length: end - start, ...kind });
    };
    for (const { cluster, start, end } of this.parts(offset, length)) {
      if (found.length >= MOST_EXTENTS) break;
      if (this.isSet(cluster)) {
        add(start, end, { depth: 0, present: true, zero: false });
      } else {
        const border = Math.max(start, Math.min(end, this.below));
        add(start, border, { depth: 1, present: true, zero: false });
        add(border, end, { depth: 0, present: false, zero: true });
      }
    }
    return found;
  }

  info() {
    const { image, backing } = this.header;
    return {
      size: this.size,
      revision: "v10",
      image_file: image.toString(),
      backing_file: backing && backing.toString(),
    };
  }

  close() {
    try {
      this.flush();
    } finally {
      for (const file of [this.own, this.image, this.backing]) if (file !== null) fs.closeSync(file);
    }
  }
}

module.exports = { Disk };
