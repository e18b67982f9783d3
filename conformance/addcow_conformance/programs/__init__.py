"""Programs of operations: a disk and what is done to it, run on an implementation beside an oracle."""

from addcow_conformance.programs._abilities import Unsupported, backing_kinds
from addcow_conformance.programs._backing import make_backing
from addcow_conformance.programs._files import IMAGE, RAW, check_memory
from addcow_conformance.programs._json import LARGEST_FILE, dump_program, load_program, program_schema
from addcow_conformance.programs._known import Known
from addcow_conformance.programs._patience import Endless, Patience
from addcow_conformance.programs._program import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    Operation,
    PowerLoss,
    Program,
    Race,
    Read,
    Reopen,
    Request,
    Resize,
    StorageKind,
    Stream,
    Via,
    Write,
    Zeroes,
)
from addcow_conformance.programs._requests import end_of, tell
from addcow_conformance.programs._session import Result, Session
from addcow_conformance.programs._violation import Violation, refused

__all__ = [
    "IMAGE",
    "LARGEST_FILE",
    "RAW",
    "Backing",
    "BackingKind",
    "Disk",
    "Endless",
    "Fault",
    "Flush",
    "Kill",
    "Known",
    "Operation",
    "Patience",
    "PowerLoss",
    "Program",
    "Race",
    "Read",
    "Reopen",
    "Request",
    "Resize",
    "Result",
    "Session",
    "StorageKind",
    "Stream",
    "Unsupported",
    "Via",
    "Violation",
    "Write",
    "Zeroes",
    "backing_kinds",
    "check_memory",
    "dump_program",
    "end_of",
    "load_program",
    "make_backing",
    "program_schema",
    "refused",
    "tell",
]
