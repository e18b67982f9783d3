"""What is made once for all tests of a session, by whichever test process comes first."""

from __future__ import annotations

import pytest

from tests.system import second


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id):
    """A directory that all test processes share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def plugin(shared):
    """The second implementation, a plugin of nbdkit."""
    return second.build(shared)
