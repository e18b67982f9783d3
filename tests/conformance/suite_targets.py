"""Targets for the suite to try: the engine, changed in one point each, as modules of one attribute."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import addcow_ref
from addcow_ref import _locks


class _Image:
    """An image of the engine, with what a subclass changes."""

    def __init__(self, image):
        self._image = image

    def __getattr__(self, name):
        return getattr(self._image, name)


def _target(image):
    def open_image(target, **options):
        return image(addcow_ref.open_image(target, **options))

    return SimpleNamespace(create_image=addcow_ref.create_image, open_image=open_image)


class _Lost(_Image):
    def write(self, offset, data, *, fua=False):
        if offset % 512 == 0:
            self._image.write(offset, data, fua=fua)


class _Dies(_Image):
    def write(self, *_request, **_options):
        os.abort()


class _Raises(_Image):
    def write(self, *_request, **_options):
        raise KeyError("\x1b[31mred")


class _Sleeps(_Image):
    def write(self, *_request, **_options):
        time.sleep(3600)


class _Exits(_Image):
    def read(self, *_request):
        raise SystemExit(3)


def _unlocked(target, **options):
    """Nobody else is ever there."""
    before, _locks.lock_byte = _locks.lock_byte, lambda *_: True
    others, _locks.is_byte_locked = _locks.is_byte_locked, lambda *_: False
    try:
        return addcow_ref.open_image(target, **options)
    finally:
        _locks.lock_byte, _locks.is_byte_locked = before, others


LOSES = _target(_Lost)
UNLOCKED = SimpleNamespace(create_image=addcow_ref.create_image, open_image=_unlocked)
DIES = _target(_Dies)
RAISES = _target(_Raises)
SLEEPS = _target(_Sleeps)
EXITS = _target(_Exits)
