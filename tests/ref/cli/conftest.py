"""Fixtures of the command's tests."""

import pytest

from tests.ref.cli.command import done
from tests.ref.scenes import noise


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def disk(home):
    """The name of an image of ten and a half clusters over a backing file of four."""
    (home / "base.raw").write_bytes(noise(4 * 65536))
    done("create", "-q", "-F", "raw", "-b", "base.raw", "-o", "image_file=disk.raw", "disk.add-cow", "672k")
    return "disk.add-cow"
