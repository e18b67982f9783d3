"""The client of `nbd:`, as a program of the stdio protocol: what it opens is the disk behind a Unix socket.

nbdsh runs it, since libnbd's module belongs to the system's Python: nothing but that and the standard library
is used. Requests are answered as their replies come in, so that many can be on their way.
"""

from __future__ import annotations

import errno
import json
import os
import select
import sys
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import nbd

if TYPE_CHECKING:
    from collections.abc import Callable

_DEPTH = "qemu:allocation-depth"
# The server is to judge what libnbd would not even send.
_LENIENT = nbd.STRICT_BOUNDS | nbd.STRICT_ALIGN | nbd.STRICT_COMMANDS
# Most bytes of a request, of which NBD has 32 bits.
_LONGEST = (1 << 32) - (1 << 16)


class _Client:
    """At most one connection, and the requests over it.

    Attributes:
        image: the connection.
    """

    def __init__(self) -> None:
        self.image: Any = None
        self._size = 0
        self._writable = False

    def answer(self, asked: dict[str, Any]) -> None:
        """Answer a request, now or later."""
        seq, do = asked.pop("seq"), asked.pop("do")
        handler = _HANDLERS.get(do)
        if handler is None:
            _say(seq, "error", "no such request")
        elif self.image is None and do not in {"start", "open"}:
            _say(seq, "error", "no image is open")
        else:
            try:
                handler(self, seq, **asked)
            except nbd.Error as error:
                # Without a number it has not come as far as a connection.
                self._fail(seq, error.errnum or errno.EPROTO)

    def _fail(self, seq: str, code: int, *, outside: bool = False) -> None:
        name = errno.errorcode.get(code, str(code))
        said = f"{name}: {os.strerror(code)}"
        if code == errno.EPERM or (outside and code in {errno.EINVAL, errno.ENOSPC}):
            _say(seq, "refused", {"reason": said})
        else:
            _say(seq, "error", said)

    # --- the connection

    def start(self, seq: str, protocol: int) -> None:
        """Who is it? The client, to which all images are alike; of the server nothing is known yet."""
        said = {"name": "libnbd", "version": nbd.NBD().get_version(), "language": "C"}
        rest = {"homepage": "", "issues": "", "revisions": ["v4", "v6", "v10"], "capabilities": []}
        _say(seq, "result", {"protocol": protocol, **said, **rest})

    def open(self, seq: str, path: str, writable: bool, **_: object) -> None:  # noqa: FBT001 - a member
        """Connect to a socket."""
        image = nbd.NBD()
        image.set_strict_mode(image.get_strict_mode() & ~_LENIENT)
        image.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
        image.add_meta_context(_DEPTH)
        image.connect_unix(path)
        self.image, self._size, self._writable = image, image.get_size(), writable
        _say(seq, "result", {"size": self._size})

    def close(self, seq: str) -> None:
        """Flush what may have been written, and disconnect as NBD has it."""
        image, self.image = self.image, None
        if self._writable and not image.is_read_only():
            image.flush()
        image.shutdown()
        _say(seq, "result", {})

    # --- requests

    def _issue(
        self, seq: str, offset: int, length: int, command: Callable[..., Any], result: Callable[[], Any]
    ) -> None:
        """Send a command; its reply is the answer."""
        outside = offset + length > self._size
        if not length:  # NBD has no such commands
            if outside:
                self._fail(seq, errno.EINVAL, outside=True)
            else:
                _say(seq, "result", result())
            return

        def done(error: Any) -> int:  # noqa: ANN401 - libnbd's
            if error.value:
                self._fail(seq, error.value, outside=outside)
            else:
                _say(seq, "result", result())
            return 1  # it need not be kept

        command(done)

    def _may_change(self, seq: str, length: int, *, able: bool) -> bool:
        """Whether to send a command that changes the disk; answers where not."""
        if length and self.image.is_read_only():
            return True  # for the server to refuse; such a one offers nothing else
        if not self._writable:
            self._fail(seq, errno.EPERM)  # the server would take it, and it was opened for reading
        elif not able:
            self._fail(seq, errno.EOPNOTSUPP)
        return able and self._writable

    def read(self, seq: str, offset: int, length: int) -> None:
        """Read."""
        image, buffer = self.image, nbd.Buffer(length)
        self._issue(
            seq,
            offset,
            length,
            lambda done: image.aio_pread(buffer, offset, done),
            lambda: {"data": b64encode(buffer.to_bytearray()).decode()},
        )

    def write(self, seq: str, offset: int, data: str, fua: bool) -> None:  # noqa: FBT001
        """Write."""
        image, buffer = self.image, nbd.Buffer.from_bytearray(b64decode(data))
        flags = nbd.CMD_FLAG_FUA if fua else 0
        if self._may_change(seq, len(buffer), able=not fua or image.can_fua()):
            self._issue(
                seq, offset, len(buffer), lambda done: image.aio_pwrite(buffer, offset, done, flags), dict
            )

    def zeroes(self, seq: str, offset: int, length: int, unmap: bool, fua: bool) -> None:  # noqa: FBT001
        """Write zeros; one command, so that it is up to the caller to ask for what fits it."""
        image = self.image
        flags = (nbd.CMD_FLAG_FUA if fua else 0) | (0 if unmap else nbd.CMD_FLAG_NO_HOLE)
        if self._may_change(seq, length, able=image.can_zero() and (not fua or image.can_fua())):
            self._issue(seq, offset, length, lambda done: image.aio_zero(length, offset, done, flags), dict)

    def flush(self, seq: str) -> None:
        """Flush."""
        image = self.image
        if image.can_flush():
            self._issue(seq, 0, 1, image.aio_flush, dict)
        elif image.is_read_only():  # there is nothing that could be flushed
            _say(seq, "result", {})
        else:
            self._fail(seq, errno.EOPNOTSUPP)

    def extents(self, seq: str, offset: int, length: int) -> None:
        """Extents, from what QEMU tells of depths and everybody of zeros."""
        image = self.image
        contexts = (nbd.CONTEXT_BASE_ALLOCATION, _DEPTH)
        if not all(map(image.can_meta_context, contexts)):
            self._fail(seq, errno.EOPNOTSUPP)
            return
        found: dict[str, list[int]] = {context: [] for context in contexts}

        def take(context: str, _offset: int, entries: list[int], _error: object) -> int:
            found[context] += entries
            return 0

        count = min(length, _LONGEST)
        self._issue(
            seq,
            offset,
            length,
            lambda done: image.aio_block_status(count, offset, take, done),
            lambda: {"extents": _merged(offset, *(_ends(offset, found[context]) for context in contexts))},
        )


_HANDLERS: dict[str, Callable[..., None]] = {
    "start": _Client.start,
    "open": _Client.open,
    "read": _Client.read,
    "write": _Client.write,
    "zeroes": _Client.zeroes,
    "flush": _Client.flush,
    "extents": _Client.extents,
    "close": _Client.close,
}


def _ends(offset: int, entries: list[int]) -> list[tuple[int, int]]:
    """Where each stretch ends, and what is said of it; libnbd gives lengths, and that, in turns."""
    found = []
    for length, said in zip(entries[::2], entries[1::2]):  # noqa: B905 - of any Python
        offset += length
        found.append((offset, said))
    return found


def _merged(
    at: int, allocation: list[tuple[int, int]], depths: list[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Both cut up alike, as far as both go."""
    extents = []
    while allocation and depths:
        end = min(allocation[0][0], depths[0][0])
        state, depth = allocation[0][1], depths[0][1]
        if end > at:
            extents.append(
                {
                    "start": at,
                    "length": end - at,
                    "depth": max(depth - 1, 0),
                    "present": depth > 0,
                    "zero": bool(state & nbd.STATE_ZERO),
                }
            )
        at = end
        allocation, depths = ([one for one in ends if one[0] > at] for ends in (allocation, depths))
    return extents


def _say(seq: str, outcome: str, said: object) -> None:
    sys.stdout.write(json.dumps({"seq": seq, outcome: said}) + "\n")
    sys.stdout.flush()


def _wait(image: Any) -> bool:  # noqa: ANN401 - libnbd's
    """Move the connection on until standard input has something; whether it has."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if image is not None and not (image.aio_is_dead() or image.aio_is_closed()):
        wanted = image.aio_get_direction()
        events = select.POLLIN * bool(wanted & nbd.AIO_DIRECTION_READ)
        poll.register(image.aio_get_fd(), events | select.POLLOUT * bool(wanted & nbd.AIO_DIRECTION_WRITE))
    heard = False
    for descriptor, event in poll.poll():
        if descriptor == 0:
            heard = True
            continue
        try:
            if event & select.POLLOUT:
                image.aio_notify_write()
            else:  # an end of the connection is read, too
                image.aio_notify_read()
        except nbd.Error:  # it is dead, and its commands were answered so
            continue
    return heard


def _main() -> None:
    client, waiting = _Client(), bytearray()
    while True:
        if not _wait(client.image):
            continue
        some = os.read(0, 1 << 20)
        if not some:
            return
        waiting += some
        if b"\n" in some:
            *lines, rest = waiting.split(b"\n")
            waiting = bytearray(rest)
            for line in lines:
                client.answer(json.loads(line))


if __name__ == "__main__":
    _main()
