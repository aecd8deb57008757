"""Which server can do what: the table that decides which tests exist for it.

A promise that a server does not make by its nature has no test there; nothing is skipped. Versions are those of
hawkBit's release in which the behaviour appeared or went.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Feature:
    """Where a behaviour is found.

    Args:
        since: the first version of hawkBit that has it; empty: all.
        before: the first version of hawkBit that has it no more; empty: none.
        development: whether the development server has it; it follows the newest hawkBit.
        goosebit: whether goosebit has it.
        hawkbit: whether any hawkBit has it.
    """

    since: str = ""
    before: str = ""
    development: bool = True
    goosebit: bool = False
    hawkbit: bool = True


FEATURES: dict[str, Feature] = {
    "ddi": Feature(goosebit=True),  # what every server does that a device of ours can be updated from
    "management": Feature(),  # hawkBit's Management API, and everything that is seen only through it
    "installed-base": Feature(since="0.3.0M8"),
    "confirmation": Feature(since="0.3.0M8"),
    "final-beyond-quota": Feature(since="0.6.0"),
    "final-within-quota": Feature(before="0.6.0", development=False),
    "put-installed-base": Feature(since="0.6.0"),
    "no-put-installed-base": Feature(before="0.6.0", development=False),
    "device-time": Feature(since="0.7.0"),  # `timestamp` of feedback decides what is installed
    "quiet-ranges": Feature(since="0.8.0"),  # requests for ranges leave no entry
    "poll-deviation": Feature(since="0.10.0"),  # `01:00:00~10%`: each poll is told another interval
    "iso-interval": Feature(since="0.10.0"),  # a day and longer is told as ISO 8601
    "quota-429": Feature(since="0.10.0"),
    "closed-file-gone": Feature(since="0.3.0M8"),  # before, the file of any earlier action could be loaded
    "quota-403": Feature(before="0.10.0", development=False),
    "x-controller-id": Feature(since="1.0.0"),  # how a proxy tells whom a certificate names; before, X-Ssl-Client-Cn
    "next-group": Feature(since="0.3.0M9"),
    "group-percent-of-all": Feature(since="0.5.0"),
    "rollouts": Feature(),
    "pause-after-success": Feature(since="0.3.0M9"),
    "feedback-without-id": Feature(since="0.3.0M8"),
    "feedback-with-id": Feature(before="0.3.0M8", development=False),
    "status-code": Feature(since="0.3.0M8"),
    "closed-after-download": Feature(since="0.3.0M8"),
    "entity-tags": Feature(since="0.3.0M8", goosebit=True),  # in quotes (RFC 9110, 8.8.3); without, no If-Range is sent
    "single-range-whole": Feature(since="0.3.0M8"),  # bytes=0- is 206; before it was 200, as without Range
    "range-of-all-is-200": Feature(before="0.3.0M8", development=False),
    "null-removes": Feature(since="0.3.0M8"),
    "attribute-charset": Feature(since="0.3.0M8"),
    "goosebit": Feature(
        development=False, goosebit=True, hawkbit=False
    ),  # its own management API, and what DDI is there
}


def number(version: str) -> tuple[int, ...]:
    """A version of hawkBit as something that can be compared: ``0.3.0M7`` comes before ``0.3.0``.

    Raises:
        ValueError: it has another form.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(?:M(\d+))?", version)
    if found is None:
        raise ValueError(f"not a version of hawkBit: {version}")
    return (int(found[1]), int(found[2]), int(found[3]), int(found[4]) if found[4] else 1000)


def features_of(kind: str, version: str = "") -> frozenset[str]:
    """The names of all features of a server; ``version`` is hawkBit's, for kinds that are one."""
    if kind == "development":
        return frozenset(name for name, feature in FEATURES.items() if feature.development)
    if kind == "goosebit":
        return frozenset(name for name, feature in FEATURES.items() if feature.goosebit)
    ours = number(version)
    return frozenset(
        name
        for name, feature in FEATURES.items()
        if feature.hawkbit
        and (not feature.since or ours >= number(feature.since))
        and (not feature.before or ours < number(feature.before))
    )
