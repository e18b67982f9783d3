"""Targets that do to their process, and to whoever runs it, what no target should; see `suite_targets`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import addcow_ref
from addcow_conformance.programs import Unsupported


class _Speechless(Exception):
    def __str__(self):
        raise RuntimeError


def _raising(error):
    def does(_data):
        raise error

    return does


def _when_read(does):
    """The engine, where each read does something besides."""

    class Image:
        def __init__(self, image):
            self._image = image

        def __getattr__(self, name):
            return getattr(self._image, name)

        def read(self, *request):
            data = self._image.read(*request)
            does(data)
            return data

    def open_image(target, **options):
        return Image(addcow_ref.open_image(target, **options))

    return SimpleNamespace(create_image=addcow_ref.create_image, open_image=open_image)


def _start(_data):
    """A copy of the process that goes on from here, and a child that nobody waits for."""
    if os.fork() == 0:
        sys.exit(0)
    subprocess.Popen(["sleep", "3600"], start_new_session=True)


def _deaf(_data):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(3600)


INTERRUPTS = _when_read(_raising(KeyboardInterrupt()))
GENERATOR = _when_read(_raising(GeneratorExit()))
SPEECHLESS = _when_read(_raising(_Speechless()))
TALKS = _when_read(_raising(ValueError("\x1b[31m" + "x" * 1_000_000)))
LACKS = _when_read(_raising(Unsupported("it has not this")))
STARTS = _when_read(_start)
DEAF = _when_read(_deaf)


def _refused(*_arguments, **_options):
    raise Unsupported("no")


REFUSES = SimpleNamespace(create_image=_refused, open_image=_refused)


class _Fickle:
    create_image = staticmethod(addcow_ref.create_image)
    open_image = staticmethod(addcow_ref.open_image)
    asked = 0

    @property
    def abilities(self):
        self.asked += 1
        return frozenset({"storage", "write"} if self.asked < 3 else {"storage"})


FICKLE = _Fickle()
_NOBODY = {"name": "x", "version": "", "language": "", "homepage": "", "issues": "", "revisions": ()}
NO_REVISION = SimpleNamespace(
    create_image=addcow_ref.create_image, open_image=addcow_ref.open_image, about=SimpleNamespace(**_NOBODY)
)
NO_ABOUT = SimpleNamespace(create_image=addcow_ref.create_image, open_image=addcow_ref.open_image, about=5)
