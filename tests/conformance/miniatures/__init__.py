"""Implementations that are wrong on purpose, each in one point, and one that is right."""

from tests.conformance.miniatures._right import Implementation

RIGHT = Implementation()
