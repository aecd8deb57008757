"""Which of the bundles on all media is installed. Pure: what was inspected in, a verdict for each out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cmp_to_key

from agent.daemon.policy import compare_versions


class Verdict(StrEnum):
    """What becomes of a bundle; the names are shown on D-Bus."""

    CHOSEN = "chosen"
    REFUSED = "refused"  # it is not genuine, or not for this device
    PRESENT = "present"  # nothing newer than what runs
    OUTDONE = "outdone"  # another one is newer
    TRIED = "tried"  # its installation was begun, and the medium has not been unplugged since
    DENIED = "denied"  # somebody has said no, and as above


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file on a medium, inspected.

    Attributes:
        device: the node of the medium.
        path: from its top.
        size: in bytes.
        mtime: when it was changed, in nanoseconds.
        version: in the signed manifest.
        manifest_hash: identity of the bundle.
        refusal: code and text; empty for one that may be installed.
    """

    device: str
    path: str
    size: int
    mtime: int
    version: str = ""
    manifest_hash: str = ""
    refusal: str = ""

    @property
    def identity(self) -> str:
        """What tells the file from another one of the same name."""
        return f"{self.size}:{self.mtime}"


@dataclass(frozen=True, slots=True)
class Running:
    """The system that runs; ``rescue``: whatever its version is, any acceptable one is better."""

    version: str
    manifest_hash: str
    rescue: bool = False


def judge(
    candidates: Sequence[Candidate], running: Running, answered: Mapping[str, Verdict]
) -> list[tuple[Candidate, Verdict]]:
    """The newest one that is newer than what runs is chosen, unless it was tried or denied; then none is.

    Going on with an older one where the newest has failed would be another decision than anybody has made. Bundles of the
    same version are taken in the order of their paths.

    Args:
        candidates: of all media.
        running: the system that runs.
        answered: what was tried or denied, by manifest hash.

    Returns:
        Each candidate, in the given order.
    """
    eligible = [each for each in candidates if not each.refusal and _newer(each, running)]
    age = cmp_to_key(compare_versions)
    best = max(eligible, key=lambda each: age(each.version), default=None)
    verdicts = []
    for each in candidates:
        if each.refusal:
            verdict = Verdict.REFUSED
        elif each not in eligible:
            verdict = Verdict.PRESENT
        elif each.manifest_hash in answered:
            verdict = answered[each.manifest_hash]
        else:
            verdict = Verdict.CHOSEN if each is best else Verdict.OUTDONE
        verdicts.append((each, verdict))
    return verdicts


def chosen(verdicts: Collection[tuple[Candidate, Verdict]]) -> Candidate | None:
    """The one to install, if there is one."""
    return next((each for each, verdict in verdicts if verdict is Verdict.CHOSEN), None)


def _newer(candidate: Candidate, running: Running) -> bool:
    if running.rescue:
        return True
    if candidate.manifest_hash == running.manifest_hash:
        return False
    return not running.version or compare_versions(candidate.version, running.version) > 0
