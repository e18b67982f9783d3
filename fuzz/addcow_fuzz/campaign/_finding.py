"""A finding as an object, and back; who has written the object is not known."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from addcow_fuzz.campaign._libfuzzer import is_token
from addcow_fuzz.campaign._model import NOT_REPRODUCED, Found
from addcow_fuzz.campaign._store import BadFolder

__all__ = ["packed", "unpacked"]


def packed(found: Found) -> bytes:
    """A finding as an object."""
    told = asdict(found) | {"original": found.original.hex(), "smallest": found.smallest.hex()}
    return json.dumps(told).encode()


def unpacked(data: bytes) -> Found:
    """The finding of an object.

    Raises:
        BadFolder: it is none.
    """
    try:
        told: Any = json.loads(data)
        found = Found(
            token=str(told["token"]),
            target=str(told["target"]),
            original=bytes.fromhex(told["original"]),
            smallest=bytes.fromhex(told["smallest"]),
            detail=str(told["detail"]),
            operations=told["operations"],
            log=tuple(map(str, told["log"])),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadFolder("an object of the pool is no finding") from error
    if not is_token(found.token.removeprefix(NOT_REPRODUCED)):  # it names a folder
        raise BadFolder("an object of the pool is no finding")
    return found
