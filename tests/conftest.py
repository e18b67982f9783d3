"""The profiles of hypothesis: `quick`, and `campaign` by ``--hypothesis-profile=campaign``."""

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
