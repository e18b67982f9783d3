"""The reference engine as a program with one fault, which an environment variable names."""

from __future__ import annotations

import os
import sys
import time

from addcow_conformance.adapters.reference import ReferenceProgram
from addcow_conformance.protocol import serve


def nothing(_):
    return {}


def refuse_nothing(program):
    write = program.handlers["write"]

    def clipped(asked):
        return {} if asked["offset"] >= program.image.size else write(asked)

    return {"write": clipped}


def write_backing(program):
    write = program.handlers["write"]

    def both(asked):
        layer = program.image.below
        if layer is not None:
            with open(layer.chain[0].path, "r+b") as file:
                file.write(b"?")
        return write(asked)

    return {"write": both}


def flip_reads(program):
    read = program.handlers["read"]
    return {"read": lambda asked: read(asked | {"offset": max(asked["offset"] - 1, 0)})}


def open_all(program):
    opened = program.handlers["open"]

    def lenient(asked):
        try:
            return opened(asked)
        except Exception:  # noqa: BLE001 - whatever it is, it is said to be open
            return {"size": 200_192}

    return {"open": lenient}


def hang(_):
    return {"write": lambda _: time.sleep(60)}


def crash(_):
    return {"write": lambda _: os.abort()}


def fewer(*lacking):
    def change(program):
        start = program.handlers["start"]

        def said(asked):
            about = start(asked)
            return about | {"capabilities": [w for w in about["capabilities"] if w not in lacking]}

        return {"start": said} | dict.fromkeys(lacking, nothing)

    return change


# The handlers that each fault puts in the place of the right ones.
FAULTS = {
    "lost-writes": lambda _: {"write": nothing},
    "no-flush": lambda _: {"flush": nothing},
    "no-refusal": refuse_nothing,
    "writes-backing": write_backing,
    "wrong-reads": flip_reads,
    "opens-all": open_all,
    "hangs": hang,
    "crashes": crash,
    "goes-on": lambda _: {},
    "plain": fewer("create", "zeroes", "extents", "resize", "stream", "info", "fua", "directory", "parallel"),
    "read-only": fewer("write"),
    "v10-raw": fewer("backing-qcow2", "backing-add-cow"),
}

if __name__ == "__main__":
    program = ReferenceProgram()
    program.handlers |= FAULTS[os.environ["ADDCOW_TEST_FAULT"]](program)
    serve(program.handlers, sys.stdin.buffer, sys.stdout.buffer)
    if os.environ["ADDCOW_TEST_FAULT"] == "goes-on":
        time.sleep(60)
