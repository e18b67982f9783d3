"""An implementation that does not come to an end is found out, and does not keep the run from its own."""

from __future__ import annotations

import signal
import time
from threading import Thread

import pytest

import addcow_ref
from addcow_conformance.powerloss import Family, explore
from addcow_conformance.programs import (
    Disk,
    Endless,
    Flush,
    Patience,
    Session,
    Violation,
    Write,
)
from addcow_spec.model import Revision


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr("addcow_conformance.programs._patience._LIMIT", 1.0)


def spin(*_arguments, **_options):
    while True:
        try:
            while True:
                pass
        except Exception:  # noqa: BLE001, S112 - as one who catches everything
            continue


class Spins:
    """A target that never returns from one of its functions."""

    def __init__(self, where):
        self._where = where

    def create_image(self, *arguments, **options):
        (spin if self._where == "create" else addcow_ref.create_image)(*arguments, **options)

    def open_image(self, *arguments, **options):
        if self._where == "open":
            spin()
        image = addcow_ref.open_image(*arguments, **options)
        if self._where not in {"create", "open"}:
            setattr(image, self._where, spin)
        return image


@pytest.mark.parametrize(
    ("where", "rule"),
    [
        ("create", "ACW-DYN-010"),
        ("open", "ACW-DYN-010"),
        ("read", "ACW-DYN-010"),
        ("write", "ACW-DYN-003"),
        ("flush", "ACW-DYN-005"),
    ],
)
def test_endless_call(where, rule):
    with pytest.raises(Violation) as caught, Session(Disk(Revision.V10, 700), Spins(where)) as session:
        session.run([Write(0, 100), Flush()])
    assert caught.value.rule == rule
    assert isinstance(caught.value.__cause__, Endless)


class SpinsInStreams:
    """Streams without end."""

    create_image = staticmethod(addcow_ref.create_image)
    open_image = Spins("stream").open_image


def test_endless_recovery():
    family = Family("small", Disk(Revision.V6, 512), (Write(0, 512),))
    found = explore(target=f"python:{__name__}:SpinsInStreams", families=[family], operations=0).found
    assert [each.rule for each in found] == ["ACW-DYN-005"]


def test_alarm_of_somebody_else_goes_on():
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append("theirs"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 50)
        with Patience():
            assert signal.getitimer(signal.ITIMER_REAL)[0] <= 1
        assert 1 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
        signal.raise_signal(signal.SIGALRM)
        assert rung == ["theirs"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_one_within_another_has_the_time_anew():
    theirs = signal.getsignal(signal.SIGALRM)
    with Patience():
        ours, began = signal.getsignal(signal.SIGALRM), time.monotonic()
        time.sleep(0.5)
        with pytest.raises(Endless), Patience():
            spin()
        assert time.monotonic() - began >= 1.5
        assert signal.getsignal(signal.SIGALRM) is ours
    assert signal.getsignal(signal.SIGALRM) is theirs
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_the_time_of_the_outer_one_stands_still_meanwhile():
    def late():
        time.sleep(0.3)
        with Patience():
            time.sleep(0.9)
        spin()

    began = time.monotonic()
    with pytest.raises(Endless), Patience():
        late()
    assert time.monotonic() - began >= 1.9


def test_no_alarm_outside_the_main_thread():
    seen = []

    def run():
        with Patience():
            seen.append(signal.getitimer(signal.ITIMER_REAL)[0])

    thread = Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [0]


def test_alarm_of_another_s_timer_is_not_the_end():
    with Patience():
        signal.raise_signal(signal.SIGALRM)
