"""The chain as layers: each file of the backing chain, with the files that hang on it beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from addcow_conformance.checker import ChainFile

__all__ = ["ChainDiagram", "Layer", "chain_diagram"]

UNFOLDED_LAYERS = 12
HEAD_LAYERS = 5
TAIL_LAYERS = 3


class Layer(NamedTuple):
    """A file of the backing chain and those that it names otherwise, its image file above all."""

    file: ChainFile
    beside: list[ChainFile]


class ChainDiagram(NamedTuple):
    """Layers from the top down; those of ``middle`` are folded away in a long chain, else it is empty."""

    head: tuple[Layer, ...]
    middle: tuple[Layer, ...]
    tail: tuple[Layer, ...]


def chain_diagram(files: Iterable[ChainFile]) -> ChainDiagram:
    """The diagram of a report's files, every file in it exactly once."""
    layers: list[Layer] = []
    layer_of: dict[int, Layer] = {}
    for file in files:
        if not layers or (file.role is Role.BACKING and file.parent == layers[-1].file.index):
            layers.append(Layer(file, []))
            layer_of[file.index] = layers[-1]
        else:
            parent = file.parent if file.parent is not None else layers[0].file.index
            layer = layer_of.setdefault(file.index, layer_of.get(parent, layers[0]))
            layer.beside.append(file)
    if len(layers) <= UNFOLDED_LAYERS:
        return ChainDiagram(tuple(layers), (), ())
    return ChainDiagram(
        tuple(layers[:HEAD_LAYERS]), tuple(layers[HEAD_LAYERS:-TAIL_LAYERS]), tuple(layers[-TAIL_LAYERS:])
    )
