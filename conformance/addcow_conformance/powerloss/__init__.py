"""Loss of power: what it may leave of an image's files, and whether an implementation can live with it."""

from addcow_conformance.powerloss._explore import Part, Summary, explore
from addcow_conformance.powerloss._history import History, State
from addcow_conformance.powerloss._strace import CannotTrace
from addcow_conformance.powerloss._traced import judge_traced
from addcow_conformance.powerloss._trial import Effort, Found, Tally, Trial, rerun
from addcow_conformance.powerloss._workloads import FAMILIES, Family

__all__ = [
    "FAMILIES",
    "CannotTrace",
    "Effort",
    "Family",
    "Found",
    "History",
    "Part",
    "State",
    "Summary",
    "Tally",
    "Trial",
    "explore",
    "judge_traced",
    "rerun",
]
