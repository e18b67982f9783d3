"""A small NBD server that goes wrong as the image's name says: `python nbd_program.py IMAGE SOCKET [ro]`.

It has 4096 bytes in memory, whatever the image is, and loads nothing but the standard library.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time

SIZE = 4096
OPTIONS, ANSWERS = 0x49484156454F5054, 0x3E889045565A9
ACK, INFO, UNSUPPORTED, GO = 1, 3, 0x80000001, 7
FLAGS, READ_ONLY, FLUSH, FUA, ZEROES = 1, 2, 4, 8, 64
READ, WRITE, DISCONNECT, FLUSHING, ZEROING = 0, 1, 2, 3, 6
ASAN = "==1234==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010"


def complain(text):
    print(text, file=sys.stderr, flush=True)


def take(connection, length):
    found = b""
    while len(found) < length:
        some = connection.recv(length - len(found))
        if not some:
            sys.exit(0)
        found += some
    return found


def greet(connection, flags):
    connection.sendall(b"NBDMAGIC" + struct.pack(">QH", OPTIONS, 3))
    take(connection, 4)
    while True:
        _, option, length = struct.unpack(">QII", take(connection, 16))
        take(connection, length)
        head = struct.pack(">QI", ANSWERS, option)
        if option == GO:
            export = struct.pack(">HQH", 0, SIZE, flags)
            connection.sendall(head + struct.pack(">II", INFO, len(export)) + export)
            connection.sendall(head + struct.pack(">II", ACK, 0))
            return
        connection.sendall(head + struct.pack(">II", UNSUPPORTED, 0))


def judge(kind, offset, length, flags, mode):
    if kind in {WRITE, ZEROING} and flags & READ_ONLY:
        return errno.EPERM
    if kind != FLUSHING and offset + length > SIZE:
        return errno.ENOSPC if kind == WRITE else errno.EINVAL
    return {"eio": errno.EIO, "enospc": errno.ENOSPC, "einval": errno.EINVAL}.get(mode, 0)


def serve(connection, flags, mode):
    disk = bytearray(SIZE)
    greet(connection, flags)
    while True:
        _, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", take(connection, 28))
        data = take(connection, length) if kind == WRITE else bytes(length)
        if kind == DISCONNECT:
            connection.shutdown(socket.SHUT_RDWR)
            time.sleep(60)  # SIGTERM is what ends it
        error = judge(kind, offset, length, flags, mode)
        ON_REQUEST.get(mode, lambda: None)()
        magic = 0x12345678 if mode == "garbage" else 0x67446698
        if kind in {WRITE, ZEROING} and not error:
            disk[offset : offset + length] = data
        connection.sendall(struct.pack(">IIQ", magic, error, cookie))
        if mode == "garbage":
            time.sleep(60)
        if kind == READ and not error:
            connection.sendall(disk[offset : offset + length])


def refuse(text, status):
    complain(text)
    sys.exit(status)


def hold_a_lock():
    """A child that has a lock, and stays."""
    with open("lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        subprocess.Popen(["sleep", "60"], pass_fds=[file.fileno()])


def keep_others_out(image):
    """One at a time, for as long as this process lives."""
    try:
        fcntl.flock(os.open(image, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        refuse("ACW-DYN-014: it is in use", 1)


def go_away():
    before = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == before:
        time.sleep(0.001)


BEFORE = {
    "refuses": lambda: refuse("starting\nACW-HDR-001: it is none\nbye", 1),
    "mutters": lambda: refuse("no\x1b[31m", 2),
    "leaves": lambda: sys.exit(0),
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "shell": lambda: sys.exit(128 + signal.SIGSEGV),
    "no-program": lambda: sys.exit(127),
    "asan": lambda: refuse(f"ACW-HDR-001: no\n{ASAN}", 1),
    "sleeps": lambda: time.sleep(60),
    "late": lambda: time.sleep(0.3),
}
AFTER_BINDING = {
    "refuses-late": lambda: refuse("ACW-BMP-001: it is short", 1),
    "deaf": lambda: time.sleep(60),
}
AFTER_LISTENING = {"child": hold_a_lock, "background": go_away}
CONNECTED = {
    "mute": lambda: time.sleep(60),
    "hangs-up": lambda: sys.exit(1),
    "dies-there": lambda: os.kill(os.getpid(), signal.SIGKILL),
}
ON_REQUEST = {
    "dies": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exits": lambda: sys.exit(3),
    "hangs": lambda: time.sleep(60),
    "ubsan": lambda: complain("a.c:1:2: runtime error: signed integer overflow"),
}
AT_END = {
    "stubborn": signal.SIG_IGN,
    "fails-at-end": lambda *_: sys.exit(5),
    "ends-well": lambda *_: sys.exit(0),
}


def main():
    image, path, *rest = sys.argv[1:]
    mode = os.path.basename(image).partition(".")[0]
    if "ADDCOW_TEST_LOCKS" in os.environ:
        keep_others_out(image)
    flags = FLAGS | FLUSH | FUA | ZEROES | (READ_ONLY if "ro" in rest else 0)
    if mode in AT_END:
        signal.signal(signal.SIGTERM, AT_END[mode])
    BEFORE.get(mode, lambda: None)()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    AFTER_BINDING.get(mode, lambda: None)()
    listener.listen()
    AFTER_LISTENING.get(mode, lambda: None)()
    connection, _ = listener.accept()
    if mode == "drops":
        connection.close()
        time.sleep(60)
    CONNECTED.get(mode, lambda: None)()
    serve(connection, flags, mode)


main()
