"""Temporary files, and profiles of hypothesis: `quick`, or `campaign` by ``--hypothesis-profile``."""

import gc
import os
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

from tests.repo.tree import ROOT

settings.register_profile(
    "quick", settings.get_profile("default"), derandomize=True, database=None, deadline=None, print_blob=False
)
settings.register_profile(
    "campaign",
    settings.get_profile("default"),
    derandomize=False,
    database=DirectoryBasedExampleDatabase(ROOT / "corpora/regressions/hypothesis"),
    deadline=None,
    max_examples=1000,
)
# Hypothesis has loaded one of its own by now where it believes to be in continuous integration.
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_ours_is_left_behind(tmp_path_factory):
    """Temporary files are in a directory of the session's, where none of ours is at the end."""
    tmp_path_factory.getbasetemp()  # that one stays where it is looked for
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        patch.setenv("TMPDIR", directory)
        patch.setattr("tempfile.tempdir", None)
        yield
        gc.collect()  # what ends with an object
        assert [name for name in os.listdir(directory) if name.startswith("addcow")] == []
