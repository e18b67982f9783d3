"""An implementation that heeds no other opener, unless ADDCOW_TEST_LOCKS is set; nothing else of it works.

`python careless.py json` speaks JSON lines, `img COMMAND` and `io` qemu's languages. It loads nothing but the
standard library, as it is started often.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys

SIZE = 262_144
ABOUT = {
    "protocol": 1,
    "name": "careless",
    "version": "",
    "language": "",
    "homepage": "",
    "issues": "",
    "revisions": ["v10"],
    "capabilities": ["create", "write"],
}
HELP = "usage: qemu-img\n  create [-f fmt] [-o options] filename [size]\n  info filename\n"


def open_image(path):
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if "ADDCOW_TEST_LOCKS" in os.environ:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def make(path):
    with open(path, "x"):
        return {}


def lines():
    """JSON lines; the image is closed with the process."""
    do = {
        "start": lambda _: ABOUT,
        "create": lambda asked: make(asked["path"]),
        "open": lambda asked: open_image(asked["path"]) and {"size": SIZE},
    }
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"result": do.get(asked["do"], lambda _: {})(asked)}
        except BlockingIOError:
            answer = {"refused": {"reason": "it is in use"}}
        print(json.dumps({"seq": asked["seq"]} | answer), flush=True)


def img(command, *words):
    if command == "create":
        make(words[-2])
    print({"--help": HELP, "info": f"virtual size: 256K ({SIZE} bytes)"}.get(command, "made"))


def io(*words):
    try:
        open_image(words[-1])
    except (BlockingIOError, FileNotFoundError):
        sys.exit("can't open it")
    print("qemu-io> ", end="", flush=True)
    for line in sys.stdin:
        if line == "quit\n":
            break
        print("qemu-io> ", end="", flush=True)


if __name__ == "__main__":
    {"json": lines, "img": img, "io": io}[sys.argv[1]](*sys.argv[2:])
