"""Making an image where a file is: one that is empty makes room, and another one stays."""

from __future__ import annotations

import pytest

from addcow_conformance.adapters._make import make_image
from addcow_conformance.adapters._storage import vacated
from addcow_ref import FileStorage
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision


def test_an_empty_file_makes_room(tmp_path):
    path = tmp_path / "x"
    path.touch()
    assert vacated(FileStorage.open_path(bytes(path))) == bytes(path)
    assert not path.exists()


def test_another_one_stays_as_it_is(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"precious")
    (tmp_path / "raw").write_bytes(bytes(512))
    with pytest.raises(UsageError):
        make_image(vacated(FileStorage.open_path(bytes(path))), b"raw", b"", Revision.V10, raw=False)
    assert path.read_bytes() == b"precious"
