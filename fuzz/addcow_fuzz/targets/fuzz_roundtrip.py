"""Any header that parses is built again to the bytes that it came from, and parses to the same again.

The same holds for qcow2, whose model covers what lies between header and first cluster's end but for what
follows the extensions; and for a feature name table.
"""

from __future__ import annotations

from addcow_fuzz._main import fuzz
from addcow_fuzz.invariants import Finding, strict
from addcow_fuzz.mutators import mutate_header as custom_mutator
from addcow_spec.codec import (
    HEADER_LENGTH,
    build_feature_names,
    build_header,
    build_qcow2,
    parse_feature_names,
    parse_header,
    parse_qcow2,
)
from addcow_spec.errors import MalformedImage
from addcow_spec.model import ExtensionType, Revision

__all__ = ["check_one", "custom_mutator"]


def check_one(data: bytes) -> None:
    """Parse, build and parse in every way.

    Raises:
        Finding: bytes or model differ.
    """
    for revision in Revision:
        _check_add_cow(data, revision)
    _check_qcow2(data)


def _check_add_cow(data: bytes, revision: Revision) -> None:
    try:
        with strict(f"parse-{revision}", MalformedImage):
            header = parse_header(data, revision)
    except MalformedImage:
        return
    with strict(f"build-{revision}", MalformedImage):
        built = build_header(header)
    _compare(f"build-{revision}", built, data[: HEADER_LENGTH[revision]])
    _compare(f"parse-{revision}", parse_header(built, revision), header)


def _check_qcow2(data: bytes) -> None:
    try:
        with strict("parse-qcow2", MalformedImage):
            header = parse_qcow2(data)
    except MalformedImage:
        return
    with strict("build-qcow2", MalformedImage):
        built = build_qcow2(header)
    _compare("build-qcow2", built, data[: len(built)])
    again = parse_qcow2(data, limit=max(len(built), header.header_length))
    _compare("parse-qcow2", again, header)
    table = header.extension(ExtensionType.FEATURE_NAMES)
    if table:
        names = parse_feature_names(table.data)
        _compare("build-names", build_feature_names(names), table.data[: 48 * len(names)])


def _compare(operation: str, found: object, expected: object) -> None:
    if found != expected:
        raise Finding("codec", f"{expected!r} becomes {found!r}", operation=operation)


if __name__ == "__main__":
    fuzz("roundtrip")
