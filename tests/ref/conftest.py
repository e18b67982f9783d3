"""Fixtures of the engine's tests."""

import pytest

from addcow_spec.model import Revision
from tests.ref.scenes import Scene


@pytest.fixture(params=["files", "memory"])
def scene(request, tmp_path):
    """An empty scene, on real files and in memory."""
    return Scene(request.param, tmp_path)


@pytest.fixture
def files(tmp_path):
    """An empty scene on real files."""
    return Scene("files", tmp_path)


@pytest.fixture(params=Revision, ids=str)
def revision(request):
    return request.param
