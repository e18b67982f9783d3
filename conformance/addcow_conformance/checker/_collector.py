"""Where findings are gathered: drops what the profile does not know, counts all, keeps the worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_spec.findings import Finding
from addcow_spec.rules import Level, Severity, rule

if TYPE_CHECKING:
    from addcow_conformance.checker._model import CheckOptions
    from addcow_conformance.checker._registry import Draft

__all__ = ["Collector"]


class Collector:
    """Gathers the findings of one check.

    The rule catalogue is loaded with the first finding, so that sound images cost nothing.
    """

    def __init__(self, options: CheckOptions) -> None:
        self._profile = options.profile
        self._limit = options.max_findings
        self._findings: list[Finding] = []
        self.counts: dict[Severity, int] = {}
        self.rule_counts: dict[str, int] = {}

    def knows(self, rule_id: str) -> bool:
        """Whether the profile has that rule."""
        return rule(rule_id).level[self._profile] is not Level.ABSENT

    def add(self, rule_id: str, file: int, draft: Draft) -> None:
        """Record a violation in the file of that index, unless the profile has no such rule."""
        stated = rule(rule_id)
        if stated.level[self._profile] is Level.ABSENT:
            return
        severity = stated.severity(self._profile)
        self.counts[severity] = self.counts.get(severity, 0) + 1
        self.rule_counts[rule_id] = self.rule_counts.get(rule_id, 0) + 1
        self._findings.append(Finding(rule_id, file, *draft))

    def findings(self) -> tuple[Finding, ...]:
        """The findings to report: in the order of files and offsets, errors kept first where too many."""

        def place(finding: Finding) -> tuple[int, int]:
            return finding.file, finding.span.offset if finding.span else -1

        kept = self._findings
        if len(kept) > self._limit:
            order = list(Severity)
            kept = sorted(kept, key=lambda f: order.index(rule(f.rule).severity(self._profile)))[
                : self._limit
            ]
        return tuple(sorted(kept, key=place))
