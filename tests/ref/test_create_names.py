"""Names that create stores: how long, how hostile, and from where they lead."""

from __future__ import annotations

import os
from functools import lru_cache

import pytest

from addcow_ref import create_image, open_image
from addcow_ref.memory import MemoryFiles
from addcow_spec.errors import (
    ImageError,
    UnsupportedImage,
    UsageError,
)
from addcow_spec.model import Revision
from tests.ref.qcow2_images import content as words
from tests.ref.scenes import CLUSTER

content = lru_cache(64)(words)
V10 = Revision.V10


def names_of(files):
    return sorted(os.listdir(files.directory))


# -- names


@pytest.mark.parametrize(
    ("revision", "image", "backing", "fits"),
    [
        (V10, 4059, 0, True),
        (V10, 4060, 0, False),
        (V10, 2030, 2030, True),
        (V10, 2030, 2031, False),
        (V10, 1, 4059, True),
        (V10, 1, 4060, False),
        (V10, 2, 4059, False),
        (V10, 4058, 2, True),
        (V10, 4059, 1, False),
        (Revision.V6, 1024, 1024, True),
        (Revision.V6, 1025, 1, False),
        (Revision.V6, 1, 1025, False),
        (Revision.V4, 1024, 1024, True),
        (Revision.V4, 1025, 1, False),
        (Revision.V4, 1, 1025, False),
    ],
)
def test_names_as_long_as_the_revision_allows(revision, image, backing, fits):
    names = b"i" * image, b"b" * backing
    memory = MemoryFiles({names[0]: content(CLUSTER, 3), (names[1] or b"other"): content(CLUSTER, 2)})
    target = memory.create(b"x")
    backing_file = names[1] or None
    if not fits:
        with pytest.raises(UsageError) as refused:
            create_image(target, names[0], backing_file=backing_file, revision=revision)
        assert refused.value.rule == "ACW-NAM-003"
        assert memory.contents(b"x") == b""
        return
    create_image(target, names[0], backing_file=backing_file, revision=revision)
    target.close()
    with open_image(memory.open(b"x"), revision=revision) as made:
        assert (made.image_file, made.backing_file) == (names[0], backing_file)
        assert made.read(0, 8) == (content(CLUSTER, 2)[:8] if backing else bytes(8))


HOSTILE = [b"a\nb", b"\x1b[31mred", b"\xff\xfe", b"]]>", b" ", b"a b", "\u202eabc".encode(), b"-rf", b"%s{0}"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_stored_as_they_are(files, revision, name):
    os.mkdir(files.path(name))
    for part in (b"img", b"base"):
        files.put(os.path.join(name, part + name), content(CLUSTER, 2))
    target = files.path(os.path.join(name, b"x" + name))
    create_image(target, b"img" + name, backing_file=b"base" + name, revision=revision)
    with open_image(target, revision=revision) as image:
        assert (image.image_file, image.backing_file) == (b"img" + name, b"base" + name)
        assert image.read(0, CLUSTER) == content(CLUSTER, 2)
    with pytest.raises(UsageError) as refused:
        create_image(target, b"img" + name)
    assert not set(str(refused.value)) & set("\n\x1b\u202e")
    with pytest.raises(ImageError) as missing:
        create_image(target, b"no" + name, overwrite=True)
    assert not set(str(missing.value)) & set("\n\x1b\u202e")


@pytest.mark.parametrize("role", ["image_file", "backing_file"])
@pytest.mark.parametrize("name", [b"nbd:localhost", b"json:{}", b"file:img", b":", b"a:b/c"])
def test_protocol_names_are_refused(files, role, name):
    files.put(b"img", bytes(CLUSTER))
    with pytest.raises(UnsupportedImage) as refused:
        create_image(files.path(), **{"image_file": b"img", role: name})
    assert refused.value.rule == "ACW-NAM-011"
    assert names_of(files) == [b"img"]


def test_colon_after_a_slash_is_a_path(files):
    files.put(b"i:mg", bytes(CLUSTER))
    create_image(files.path(), b"./i:mg")
    with open_image(files.path()) as image:
        assert image.size == CLUSTER


@pytest.mark.parametrize("cwd", [b".", b"sub", b".."])
def test_names_start_at_the_new_file_not_at_the_working_directory(files, cwd, monkeypatch):
    os.mkdir(files.path(b"sub"))
    os.mkdir(files.path(b"images"))
    files.put(b"images/img", bytes(CLUSTER))
    files.put(b"base", content(CLUSTER, 2))
    for decoy in (b"img", b"sub/img"):
        files.put(decoy, bytes(7))
    monkeypatch.chdir(os.fsdecode(files.path(cwd)))
    target = os.path.relpath(files.path(b"images/x"))
    create_image(target, b"img", backing_file=b"../base")
    with open_image(target) as image:
        assert image.size == CLUSTER
        assert image.read(0, CLUSTER) == content(CLUSTER, 2)
    assert sorted(os.listdir(files.path(b"images"))) == [b"img", b"x"]


def test_names_through_a_linked_directory(files):
    """A name is resolved from the directory as it is called, as a guest's tools would do it."""
    os.makedirs(files.path(b"deep/real"))
    os.symlink(b"deep/real", files.path(b"link"))
    files.put(b"deep/img", bytes(CLUSTER))
    create_image(files.path(b"link/x"), b"../img")
    with open_image(files.path(b"deep/real/x")) as image:
        assert image.size == CLUSTER
