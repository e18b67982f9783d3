"""A vector in the making: what its author says of the files, and the JSON that comes of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from addcow_spec.rules import Level, Profile, Severity, catalogue
from vectorgen._files import File, Recipe, encoded
from vectorgen._images import DISK

__all__ = ["ADDCOW", "Case", "Files", "Options", "failing", "number", "passing", "scene"]

ADDCOW = b"image.add-cow"

Files = dict[bytes, File | Recipe]

_RESULTS = {Severity.ERROR: "invalid", Severity.WARNING: "acceptable"}


class Options(TypedDict, total=False):
    """The optional attributes of a `Case` that a family of cases may share."""

    as_written: tuple[str, ...]
    revision: str
    flags: tuple[str, ...]
    image: bytes
    cwd: bytes
    confine: bytes
    take_as: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """One vector.

    Attributes:
        rule: number of the rule that it is about, without ``ACW-``.
        slug: the rest of the vector's name.
        comment: what is special about it.
        files: the files by path.
        findings: numbers of the rules that are broken. Each profile leaves out those that it does not have.
        as_written: what replaces ``findings`` in the profile as-written, where that sees other things.
        revision: revision of the image.
        flags: words that the corpora's README explains; those that follow from the rest are added.
        image: path of the image.
        cwd: working directory, empty for that of the recipe.
        confine: directory that names may not leave, empty for none.
        take_as: the revision that the user states, empty where it is to be told from the file.
    """

    rule: str
    slug: str
    comment: str
    files: Files
    findings: tuple[str, ...] = ()
    as_written: tuple[str, ...] | None = None
    revision: str = "v10"
    flags: tuple[str, ...] = ()
    image: bytes = ADDCOW
    cwd: bytes = b""
    confine: bytes = b""
    take_as: str = ""

    @property
    def id(self) -> str:
        """Name of the vector."""
        return f"ACW-{self.rule}-{self.slug}"

    @property
    def path(self) -> str:
        """Path of its JSON below ``vectors``."""
        return f"{catalogue()[f'ACW-{self.rule}'].chapter}/{self.id}.json"

    def text(self) -> str:
        """Its JSON, in the one form that there is."""
        reviewed = _labelled(self.findings, Profile.REVIEWED)
        stated = self.findings if self.as_written is None else self.as_written
        as_written = _labelled(stated, Profile.AS_WRITTEN)
        implied = {
            "ambiguous-revision": "ACW-HDR-005" in reviewed,
            "profiles-differ": reviewed != as_written,
            "stated-revision": bool(self.take_as),
        }
        vector: dict[str, Any] = {
            "id": self.id,
            "rule": f"ACW-{self.rule}",
            "revision": self.revision,
            "result": _result(reviewed, Profile.REVIEWED),
            "result-as-written": _result(as_written, Profile.AS_WRITTEN),
            "findings": reviewed,
            "findings-as-written": as_written,
            "flags": sorted({*self.flags, *(flag for flag, is_so in implied.items() if is_so)}),
            "source": str(catalogue()[f"ACW-{self.rule}"].sources[0]),
            "comment": self.comment,
            "image": encoded(self.image),
        }
        if self.cwd:
            vector["cwd"] = encoded(self.cwd)
        if self.confine:
            vector["confine"] = encoded(self.confine)
        if self.take_as:
            vector["take-as"] = self.take_as
        vector["files"] = [
            {"path": encoded(path)} | (file.recipe() if isinstance(file, File) else file)
            for path, file in sorted(self.files.items(), key=lambda item: (item[0] != self.image, item[0]))
        ]
        return json.dumps(vector, indent=2) + "\n"


def _labelled(numbers: tuple[str, ...], profile: Profile) -> list[str]:
    rules = (f"ACW-{number}" for number in numbers)
    return sorted(rule for rule in rules if catalogue()[rule].level[profile] is not Level.ABSENT)


def _result(rules: list[str], profile: Profile) -> str:
    found = {catalogue()[rule].level[profile].severity for rule in rules}
    return next((result for severity, result in _RESULTS.items() if severity in found), "valid")


def passing(
    rule: str, slug: str, comment: str, files: Files, *, also: tuple[str, ...] = (), **more: Unpack[Options]
) -> Case:
    """A case that keeps the rule; it may break those of ``also``."""
    return Case(rule=rule, slug=slug, comment=comment, files=files, findings=also, **more)


def failing(
    rule: str, slug: str, comment: str, files: Files, *, also: tuple[str, ...] = (), **more: Unpack[Options]
) -> Case:
    """A case that breaks the rule, and those of ``also`` where that cannot be avoided."""
    return Case(rule=rule, slug=slug, comment=comment, files=files, findings=(rule, *also), **more)


def number(value: int) -> str:
    """``value`` as part of a slug: decimal while people read it so, else hexadecimal."""
    return str(value) if value < 10000 else hex(value)


def scene(addcow: File, disk: int = DISK, base: File | int | None = None) -> Files:
    """An add-cow file with its image file ``disk.raw`` and, where given, a backing file ``base.raw``.

    Args:
        addcow: the image to open.
        disk: length of the image file; by default that of the usual disk.
        base: the backing file, or the length of one that holds zeros.
    """
    files: Files = {ADDCOW: addcow, b"disk.raw": File(disk)}
    if base is not None:
        files[b"base.raw"] = File(base) if isinstance(base, int) else base
    return files
