"""Any bytes are a header of each revision, or a `MalformedImage` that says which bytes are at fault.

The same holds for qcow2; and what is parsed has no name or table beyond the bytes that there are.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from addcow_fuzz._main import fuzz
from addcow_fuzz.invariants import judge_refusal, strict
from addcow_fuzz.mutators import mutate_header as custom_mutator
from addcow_spec.codec import parse_header, parse_qcow2
from addcow_spec.errors import MalformedImage
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_one", "custom_mutator"]


_PARSERS: dict[str, Callable[[bytes], object]] = {
    **{f"parse-{revision}": partial(parse_header, revision=revision) for revision in Revision},
    "parse-qcow2": parse_qcow2,
}


def check_one(data: bytes) -> None:
    """Parse the bytes in every way.

    Raises:
        Finding: an error is not declared, or blames bytes that are not there.
    """
    with strict("parse", MalformedImage):
        for operation, parse in _PARSERS.items():
            try:
                parse(data)
            except MalformedImage as error:
                judge_refusal(error, operation)


if __name__ == "__main__":
    fuzz("header")
