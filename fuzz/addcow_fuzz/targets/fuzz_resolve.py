"""Any names lead both judges to the same files or to the same refusal; nothing blocks, nothing leads out.

The files are real, in a directory that each execution makes and removes. Options: the profile, whether names
are confined to a directory below, and whether the working directory is that one.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from addcow_conformance.checker import CheckOptions, Report, check_image
from addcow_fuzz._agreement import compare_chain, judge
from addcow_fuzz._main import fuzz
from addcow_fuzz._recipe import make, parse
from addcow_fuzz.invariants import Finding, strict
from addcow_fuzz.mutators import mutate_recipe as custom_mutator
from addcow_ref import OpenFailed, open_image
from addcow_spec.errors import ImageError
from addcow_spec.rules import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref import Image

__all__ = ["check_one", "custom_mutator"]

_SUBDIRECTORY = b"sub"


def check_one(data: bytes) -> None:
    """Make the files, and let both judge them.

    Raises:
        Finding: they do not agree, or a file outside was opened.
    """
    recipe = parse(data)
    if recipe.image is None:
        return
    with TemporaryDirectory() as directory:
        root = os.path.realpath(os.fsencode(directory))
        below = os.path.join(root, _SUBDIRECTORY)
        os.mkdir(below)
        make(recipe, root)
        profile = Profile.AS_WRITTEN if recipe.options & 1 else Profile.REVIEWED
        with _inside(below if recipe.options & 4 else root):
            _judge(os.path.join(root, recipe.image), profile, below if recipe.options & 2 else None)


def _judge(path: bytes, profile: Profile, confine: bytes | None) -> None:
    report = _checked(path, profile, confine)
    try:
        with strict("open", ImageError, OpenFailed):
            image = open_image(path, profile=profile, confine=confine)
    except OpenFailed as error:
        # The checker opens the file that the user names wherever it is.
        if confine is None and not report.problem:
            raise Finding("engine", f"the file itself is not opened: {error}", operation="open") from error
        return
    except ImageError as error:
        judge(report, error, lambda: _checked(path, Profile.REVIEWED, confine))
        return
    with image:
        judge(report, None)
        compare_chain(image, report)
        if confine:
            _judge_confined(image, confine)


def _checked(path: bytes, profile: Profile, confine: bytes | None) -> Report:
    with strict("check"):
        return check_image(path, CheckOptions(profile=profile, confine=confine))


def _judge_confined(image: Image, confine: bytes) -> None:
    for layer in image.chain:
        for path in (layer.path, layer.image_path):
            if path and not os.path.realpath(path).startswith(confine + b"/"):
                raise Finding("oracle", f"{path!r} is opened", rule="ACW-ENV-004", operation="open")


@contextmanager
def _inside(directory: bytes) -> Iterator[None]:
    before = os.open(b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(directory)
        yield
    finally:
        os.fchdir(before)
        os.close(before)


if __name__ == "__main__":
    fuzz("resolve")
