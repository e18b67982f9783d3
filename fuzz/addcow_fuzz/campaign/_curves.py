"""Curves of a campaign, as SVG paths in a box of 600 by 160; no script, and no style of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from addcow_fuzz.campaign._stats import Point

__all__ = ["CURVES", "HEIGHT", "WIDTH", "Curve", "curves"]

WIDTH, HEIGHT = 600, 160
# More points than that are not seen.
_POINTS = 600

# What is drawn: a title, and the value of a point.
CURVES = (("Edges reached", "edges"), ("Executions a second", "rate"), ("Inputs in the corpus", "corpus"))


class Curve(NamedTuple):
    """A curve.

    Attributes:
        title: what it shows.
        path: the ``d`` of an SVG path, of steps that hold until the next point.
        largest: the value at the upper edge.
        last: the value at the right edge.
    """

    title: str
    path: str
    largest: float
    last: float


def curves(points: Sequence[Point]) -> list[Curve]:
    """The curves of a target; none where it has no points.

    Args:
        points: how far it was, in the order of time.
    """
    if not points:
        return []
    every = -(-len(points) // _POINTS)
    shown = [*points[:-1:every], points[-1]]
    return [_curve(title, [(p.seconds, float(getattr(p, value))) for p in shown]) for title, value in CURVES]


def _curve(title: str, values: Sequence[tuple[float, float]]) -> Curve:
    longest = max(values[-1][0], 1e-9)
    largest = max(value for _, value in values)
    scale = largest or 1.0
    steps = [f"M0 {HEIGHT}"]
    for seconds, value in values:
        steps.append(f"H{WIDTH * seconds / longest:.1f}V{HEIGHT - HEIGHT * value / scale:.1f}")
    return Curve(title, "".join(steps), largest, values[-1][1])
