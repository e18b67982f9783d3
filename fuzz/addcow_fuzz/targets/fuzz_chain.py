"""Any stack of add-cow, qcow2 and raw files ends: in one list of layers to both judges, or in one rule.

Each layer, opened by itself, has the same layers below it, and reads as it does from above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_fuzz._agreement import agree, compare_chain, reading_of
from addcow_fuzz._files import InputFiles
from addcow_fuzz._made import take_apart
from addcow_fuzz._main import fuzz
from addcow_fuzz.invariants import Finding, strict
from addcow_fuzz.mutators import crossover_files as custom_crossover
from addcow_fuzz.mutators import mutate_files as custom_mutator
from addcow_ref import open_layer
from addcow_spec.errors import ImageError
from addcow_spec.rules import Profile

if TYPE_CHECKING:
    from addcow_ref import Layer

__all__ = ["check_one", "custom_crossover", "custom_mutator"]

_WINDOW = 64
_MOST_LAYERS = 4


def check_one(data: bytes) -> None:
    """Judge the chain from its top, and its upper layers by themselves.

    Raises:
        Finding: a layer is not what it is from above.
    """
    packed = take_apart(data)
    files = InputFiles(packed.records)
    report, image = agree(files, packed)
    if image is None:
        return
    with image:
        compare_chain(image, report)
        # By itself, a layer is judged by the reviewed profile.
        layer = image.below if reading_of(packed.options).profile is Profile.REVIEWED else None
        for _ in range(_MOST_LAYERS):
            if layer is None:
                break
            _compare(files, layer)
            layer = layer.below


def _compare(files: InputFiles, layer: Layer) -> None:
    top = layer.chain[0]
    try:
        with strict("open-layer", ImageError):
            alone = open_layer(files.open(top.path), format=top.format)
    except ImageError as error:
        raise Finding("engine", f"refused alone: {error}", rule=error.rule, operation="open-layer") from error
    if alone.chain != layer.chain:
        raise Finding("engine", f"layers {layer.chain}, and {alone.chain} alone", operation="chain")
    for start in {0, max(layer.size - _WINDOW, 0)}:
        length = min(_WINDOW, layer.size - start)
        if _read(layer, start, length) != _read(alone, start, length):
            raise Finding("engine", f"{length} bytes at {start} differ alone", operation="read")
    alone.close()


def _read(layer: Layer, start: int, length: int) -> bytes | None:
    """Bytes of a layer; None where its tables are broken."""
    buffer = bytearray(length)
    try:
        with strict("read", ImageError):
            layer.read_into(start, buffer)
    except ImageError:
        return None
    return bytes(buffer)


if __name__ == "__main__":
    fuzz("chain")
