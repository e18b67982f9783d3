"""A pair of commands that speak the languages of qemu-img and qemu-io, as a target that a session can use.

An image that is open is a qemu-io that reads commands, so that it can be killed between two of them; all else
is a qemu-img for each command. What the two can do is read from their help, back to the versions of 2011.
"""

from __future__ import annotations

import os
import re
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from addcow_conformance.adapters._by_path import TargetByPath
from addcow_conformance.adapters._command import Place, run
from addcow_conformance.adapters._make import make_image
from addcow_conformance.adapters._qemu_image import QemuImage
from addcow_conformance.adapters._qemu_img import QemuImg
from addcow_conformance.adapters._qemu_io import Letters, QemuIo
from addcow_conformance.adapters._qemu_options import Options, parse_options
from addcow_conformance.adapters._transcript import Transcript
from addcow_conformance.adapters.stdio import About
from addcow_spec.errors import InvalidImage, UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from addcow_conformance.adapters._qemu_img import Facts
__all__ = ["QemuTarget", "load"]

# Bytes of the disk that is made to be looked at.
_TRIAL = 65536


def load(rest: str, *, timeout: float, validate: bool = False, under: Sequence[str] = ()) -> QemuTarget:  # noqa: ARG001 - there are no messages to validate
    """The target of ``qemu:OPTIONS``; both programs have been run for their help.

    Args:
        rest: the options, in words as a shell has them; see `QemuTarget`.
        timeout: seconds that a command may take.
        validate: means nothing here.
        under: the words of a command that runs each program.

    Raises:
        UsageError: the options are wrong.
        AdapterError: a program cannot be started, or does not speak the language.
    """
    return QemuTarget(parse_options(rest), timeout=timeout, under=under)


class QemuTarget(TargetByPath[QemuImage]):
    """An implementation behind qemu-img and qemu-io. One image at a time is open.

    Args:
        options: the two commands, and what they have.
        timeout: seconds that a command may take.
        under: the words of a command that runs each program.

    Attributes:
        about: what the programs say of themselves, and the options of them.
        abilities: what they can do; see `targets.abilities_of`.
        letters: the options of qemu-io's commands.
        transcript: what was done.

    Raises:
        AdapterError: a program cannot be started, or does not speak the language.
    """

    def __init__(self, options: Options, *, timeout: float = 30.0, under: Sequence[str] = ()) -> None:
        self._options = options
        self._timeout = timeout
        self._under = tuple(under)
        self.transcript = Transcript()
        self._image: QemuImage | None = None
        self._img = QemuImg(options, timeout, self._under, self.transcript)
        told = run((*self._under, *options.io, "--help"), timeout=timeout, doing="--help")
        # Of 2011 it finds the format out by itself.
        self._formats = re.search(rb"(?<![\w-])-f\b", told.out + told.err) is not None
        with TemporaryDirectory(prefix="addcow-qemu-") as directory:
            self.letters, informed = self._tried(os.fsencode(directory))
        found = {
            "create": True,
            "write": True,
            "zeroes": "z" in self.letters.write,
            "fua": "f" in self.letters.write,
            "resize": self.letters.truncate,
            "extents": self._img.has("map", "--output"),
            "stream": self._img.has("stream"),
            "info": informed,
            "directory": True,
        }
        self.abilities = frozenset(word for word, there in found.items() if there) | options.backings
        name, version = self._img.version
        self.about = About(name, version, "", "", "", options.revisions, tuple(sorted(self.abilities)))

    def _tried(self, here: bytes) -> tuple[Letters, bool]:
        """The options of qemu-io's commands, and whether ``info`` tells the image file.

        The image is made here, as not every qemu-io gives help without one. Who refuses it will be found out
        by the first session, and not here.
        """
        with open(os.path.join(here, b"trial.raw"), "xb") as file:
            file.truncate(_TRIAL)
        revision = self._options.revisions[0]
        make_image(os.path.join(here, b"trial.add-cow"), b"trial.raw", b"", revision, raw=False)
        place = Place(b"trial.add-cow", here, revision)
        try:
            informed = self._img.info(place).image_file is not None
            io = self._io(place, writable=True)
        except (InvalidImage, UsageError):
            return Letters(frozenset("P"), truncate=False), False
        try:
            return io.letters(), informed
        finally:
            io.drop()

    def _io(self, place: Place, *, writable: bool) -> QemuIo:
        """A qemu-io that has the image open.

        Raises:
            InvalidImage: it is refused.
        """
        words = [word.replace("{revision}", place.revision) for word in self._options.io]
        options = ("-f", self._options.format) if self._formats else ()
        return QemuIo(
            (*words, *options, *(() if writable else ("-r",)), place.path),
            under=self._under,
            timeout=self._timeout,
            directory=place.directory,
            transcript=self.transcript,
        )

    def probe(self) -> None:
        """Run qemu-img for its help.

        Raises:
            AdapterError: it cannot be run, or does not know what it knew.
        """
        QemuImg(self._options, self._timeout, self._under, self.transcript)

    # --- the interface of a target

    def _create(self, place: Place, image_file: bytes, backing_file: bytes, backing_format: str) -> None:
        self._free()
        directory, name = os.path.split(place.path)
        size, place = _size(directory, image_file), place._replace(path=name, directory=directory)
        self._img.create(place, size, image_file, backing_file, backing_format)

    def _open(self, place: Place, *, writable: bool) -> QemuImage:
        self._free()
        opened = _Opened(self._img, place, partial(self._io, place, writable=writable))
        self._image = QemuImage(opened, self.letters, writable=writable)
        return self._image

    def _free(self) -> None:
        """Leave no image open; one whose owner is gone goes with its process."""
        image, self._image = self._image, None
        if image is not None:
            image.drop()

    # --- ends

    def kill(self) -> None:
        """End what runs by SIGKILL.

        Raises:
            AdapterError: it had ended before.
        """
        image, self._image = self._image, None
        if image is not None:
            image.kill()

    @property
    def processes(self) -> tuple[int, ...]:
        """See `targets.ExternalTarget`."""
        return (self._image.pid,) if self._image is not None else ()

    def drop(self) -> None:
        """End what runs by SIGKILL, whatever it did."""
        self._free()

    def close(self) -> None:
        """End what runs, if an image was not closed."""
        self._free()


def _size(directory: bytes, image_file: bytes) -> int:
    """Bytes of the image file, as QEMU has to be told a size and must find it to be the file's.

    Raises:
        UsageError: there is no such file; qemu-img would make it.
    """
    # The name alone may be nearly as long as a path can be.
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return os.stat(image_file, dir_fd=place).st_size
    except OSError as error:
        raise UsageError(f"image file {printable(image_file)}: {error.strerror}") from error
    finally:
        os.close(place)


class _Opened(NamedTuple):
    """How an image was opened; see `_qemu_image`."""

    img: QemuImg
    place: Place
    io: Callable[[], QemuIo]

    def info(self) -> Facts:
        """What qemu-img says of it; the revision is as it was asked for where it is not said."""
        facts = self.img.info(self.place)
        return facts._replace(revision=facts.revision or str(self.place.revision))

    def map(self) -> list[dict[str, Any]]:
        """Where qemu-img says its bytes come from."""
        return self.img.map(self.place)

    def stream(self) -> None:
        """Copy what is in the backing file."""
        self.img.stream(self.place)
