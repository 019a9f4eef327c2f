"""What a look over a data set finds."""

from dataclasses import asdict, dataclass, field
from typing import Any

LEVELS = ('error', 'warning', 'info')


@dataclass(frozen=True)
class Finding:
    """One thing that somebody should know.

    Attributes:
        level: ``error``: a run on this data would stop, skip clips or not be comparable; ``warning``: it runs, and may
            not be what it seems; ``info``: a fact.
        kind: A few words, the same for all findings of a sort.
        message: The sentence, with the clip and the file.
        clip: Name of the clip, or None.
    """

    level: str
    kind: str
    message: str
    clip: str | None = None


@dataclass
class Report:
    """The findings about one subset.

    Attributes:
        subset: ``s4``, ``ms3`` or ``avss``.
        folder: Its own folder.
        splits: Split -> facts, e.g. number of clips, frames and labelled frames.
        findings: In the order of the table.
    """

    subset: str
    folder: str
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, level: str, kind: str, message: str, clip: str | None = None) -> None:
        """Note one finding."""
        self.findings.append(Finding(level, kind, message, clip))

    def count(self, level: str) -> int:
        """Number of findings of a level."""
        return sum(finding.level == level for finding in self.findings)

    def by_kind(self, level: str) -> dict[str, list[Finding]]:
        """Findings of a level under their kinds, the most frequent kind first."""
        kinds: dict[str, list[Finding]] = {}
        for finding in self.findings:
            if finding.level == level:
                kinds.setdefault(finding.kind, []).append(finding)
        return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)
