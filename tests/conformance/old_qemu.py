"""Tools as QEMU had them in 2011, over the reference engine: `old_qemu.py img REVISION ...`.

No ``--output json``, no ``map`` in qemu-img, no ``-f`` in qemu-io, which goes on without an image, wants
sectors but for ``-p``, knows decimal patterns only, and ends with status 0 whatever happened. It takes lines
out of its input as stdio does, more than one at a time, and then waits until there is more to take.

The environment variable names a fault.
"""

from __future__ import annotations

import getopt
import os
import select
import signal
import sys
import time
from importlib import import_module

FAULT = os.environ.get("ADDCOW_TEST_FAULT", "")
HELP = """\
qemu-img version 0.15.0, Copyright (c) 2004-2008 Fabrice Bellard
usage: qemu-img command [command options]
QEMU disk image utility

Command syntax:
  check [-f fmt] filename
  create [-f fmt] [-o options] filename [size]
  info [-f fmt] filename
  resize filename [+ | -]size

Command parameters:
  'filename' is a disk image filename
"""
IO_HELP = "Usage: qemu-io [-h] [-V] [-rsnm] [-c cmd] ... [file]\n"
READ = (
    "read [-abCpqv] [-P pattern [-s off] [-l len]] off len -- reads a number of bytes at a specified offset"
)
WRITE = "write [-abCpq] [-P pattern ] off len -- writes a number of bytes at a specified offset"
TRUNCATE = "truncate off -- truncates the current file at the given offset"


def part(name):
    """A module of the project, which nobody needs who asks for help."""
    return import_module(name)


# --- qemu-img


def img(revision, command="", *arguments):
    if command == "--help" or "--help" in arguments:
        print(HELP, end="")
        return 1
    options, words = getopt.getopt(arguments, "f:o:") if command in {"create", "info"} else ([], arguments)
    do = {"create": create, "info": info}.get(command)
    return do(revision, dict(options), *words) if do else 1


def create(revision, options, name, size):
    if FAULT == "makes-nothing":
        return 0
    values = dict(part.split("=", 1) for part in options["-o"].split(","))
    made = {"fmt": options["-f"], "size": size, **values}
    try:
        part("addcow_ref").create_image(
            name,
            values["image_file"],
            backing_file=values.get("backing_file"),
            backing_format=values.get("backing_fmt"),
            revision=part("addcow_spec.model").Revision(revision),
        )
    except part("addcow_spec.errors").AddCowError as error:
        print(f"qemu-img: {name}: error while creating add-cow: {error}", file=sys.stderr)
        return 1
    print(f"Formatting '{name}', " + " ".join(f"{key}={value} " for key, value in made.items()))
    return 0


def info(revision, _, name):
    try:
        with part("addcow_ref").open_image(
            name, revision=part("addcow_spec.model").Revision(revision)
        ) as image:
            print(f"image: {name}\nfile format: add-cow")
            print(f"virtual size: {image.size // 1024}K ({image.size} bytes)\ndisk size: 4.0K")
            if image.backing_file:
                print(f"backing file: {image.backing_file.decode()} (actual path: /x)")
    except part("addcow_spec.errors").AddCowError:
        print(f"qemu-img: Could not open '{name}'", file=sys.stderr)
        return 1
    return 0


# --- qemu-io


def lines():
    """Lines of standard input, as fgets after select has them."""
    held = b""
    while True:
        print("qemu-io> ", end="", flush=True)
        select.select([0], [], [])
        while b"\n" not in held:
            more = os.read(0, 4096)
            if not more:
                return
            held += more
        line, _, held = held.partition(b"\n")
        yield line.decode()


def io(revision, *arguments):
    options, names = getopt.getopt(arguments, "hr", ["help"])
    if not names:
        print(IO_HELP, end="")
        return 0
    try:
        image = part("addcow_ref").open_image(
            names[0],
            writable=("-r", "") not in options,
            revision=part("addcow_spec.model").Revision(revision),
        )
    except part("addcow_spec.errors").AddCowError:
        print(f"qemu-io: can't open device {names[0]}", file=sys.stderr)
        image = None
    for line in lines():
        words = line.split()
        if words[:1] == ["quit"]:
            break
        if words[:1] == ["help"]:
            print({"write": WRITE, "read": READ, "truncate": TRUNCATE}.get(words[1], "command not found"))
        elif image is None:
            print("no file open, try 'help open'", file=sys.stderr)
        elif words:
            COMMANDS[words[0]](image, *words[1:])
    if image is not None:
        image.close()
    return 0


def ranged(action):
    """A command with a range, and what it says."""

    def command(image, *words):
        options, (offset, length) = getopt.getopt(words, "pqvP:")
        options, offset, length = dict(options), int(offset), int(length)
        if "-p" not in options and (offset | length) % 512:
            print(f"offset {offset} is not sector aligned")
            return
        try:
            verb = action(image, options, offset, length)
        except part("addcow_spec.errors").AddCowError:
            print(f"{action.__name__} failed: Input/output error")
            return
        print(f"{verb} {length}/{length} bytes at offset {offset}")
        print(f"{length}.000000 bytes, 1 ops; 0.0000 sec (1 GiB/sec and 1.0000 ops/sec)")

    return command


def read(image, options, offset, length):
    data = image.read(offset, length)
    if FAULT == "short-dump":
        data = data[:-1]
    for at in range(0, len(data), 16) if "-v" in options else ():
        row = data[at : at + 16]
        text = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else "." for byte in row)
        print(f"{offset + at:08x}:  {''.join(f'{byte:02x} ' for byte in row)} {text}")
    return "read"


def write(image, options, offset, length):
    STRIKES.get(FAULT, lambda: None)()
    if FAULT != "lost-writes":
        image.write(offset, bytes([int(options.get("-P", "205"))]) * length)
    return "wrote"


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def chatter():
    while True:
        print("x" * 65536)


def sanitizer():
    print("==1==ERROR: AddressSanitizer: heap-use-after-free", file=sys.stderr)


STRIKES = {
    "crashes": crash,
    "ends": lambda: sys.exit(0),
    "hangs": lambda: time.sleep(60),
    "chatters": chatter,
    "sanitizer": sanitizer,
}


def truncate(image, size):
    try:
        image.resize(int(size))
    except part("addcow_spec.errors").AddCowError as error:
        print(f"truncate: {getattr(error, 'rule', '')} Invalid argument")


COMMANDS = {
    "read": ranged(read),
    "write": ranged(write),
    "truncate": truncate,
    "flush": lambda image: image.flush(),
}

if __name__ == "__main__":
    tool, revision, *rest = sys.argv[1:]
    sys.exit({"img": img, "io": io}[tool](revision, *rest))
