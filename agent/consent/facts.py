"""What the signed manifest says about an update for people and for policy: ``[meta.cra]``. Pure.

Signed is not sane: every text is bounded and printable here, before it goes to D-Bus, to a file or to a screen. What the
server says about an update is not used for any of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

CLASSES = ("security", "functionality", "combined")
URGENCIES = ("low", "medium", "high", "critical", "exploited")
DISRUPTIONS = ("none", "service", "reboot")
MAX_TEXT = 1024  # characters
MAX_FIXES = 64
MAX_LANGUAGES = 16
_PLAIN = (
    "class",
    "urgency",
    "fixes",
    "advisory-id",
    "advisory-url",
    "sbom-url",
    "notes-url",
    "disruption",
    "est-seconds",
)
_BY_LANGUAGE = ("summary-", "user-action-")


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts, each empty when the manifest does not tell it.

    Attributes:
        kind: ``security``, ``functionality`` or ``combined``; an update that does not say is treated as a security update.
        urgency: see ``URGENCIES``.
        fixes: names of vulnerabilities.
        advisory_id: see ``advisory_url``.
        advisory_url: of the advisory.
        sbom_url: of the list of what is in it.
        notes_url: of the release notes.
        disruption: see ``DISRUPTIONS``.
        seconds: for which it will disturb; 0: not told.
        summary: what it is about, by language.
        user_action: what a user should do, by language.
    """

    kind: str = ""
    urgency: str = ""
    fixes: tuple[str, ...] = ()
    advisory_id: str = ""
    advisory_url: str = ""
    sbom_url: str = ""
    notes_url: str = ""
    disruption: str = ""
    seconds: int = 0
    summary: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    user_action: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def functional(self) -> bool:
        """Whether it has nothing to do with security, by its own word."""
        return self.kind == "functionality"


def bounded(section: object) -> dict[str, str]:
    """The known keys of ``[meta.cra]`` with texts that may be kept and shown; everything else is left out.

    Args:
        section: the section as the installer reports it, whatever that is.
    """
    if not isinstance(section, Mapping):
        return {}
    found: dict[str, str] = {}
    languages = dict.fromkeys(_BY_LANGUAGE, 0)
    for key, value in section.items():
        prefix = next((each for each in _BY_LANGUAGE if isinstance(key, str) and key.startswith(each)), "")
        if prefix:
            languages[prefix] += 1
        fits = key in _PLAIN or (prefix and len(key) <= 40 and languages[prefix] <= MAX_LANGUAGES)
        if fits and isinstance(value, str) and value.isprintable():
            found[key] = value[:MAX_TEXT]
    return found


def facts_of(texts: Mapping[str, str]) -> Facts:
    """Reads what ``bounded`` left; a value that is not known counts as not told."""
    return Facts(
        kind=_one_of(texts.get("class", ""), CLASSES),
        urgency=_one_of(texts.get("urgency", ""), URGENCIES),
        fixes=tuple(filter(None, (each.strip() for each in texts.get("fixes", "").split(","))))[:MAX_FIXES],
        advisory_id=texts.get("advisory-id", ""),
        advisory_url=_address(texts.get("advisory-url", "")),
        sbom_url=_address(texts.get("sbom-url", "")),
        notes_url=_address(texts.get("notes-url", "")),
        disruption=_one_of(texts.get("disruption", ""), DISRUPTIONS),
        seconds=_number(texts.get("est-seconds", "")),
        summary=_by_language(texts, "summary-"),
        user_action=_by_language(texts, "user-action-"),
    )


def in_language(texts: Mapping[str, str], language: str) -> str:
    """The text in a language such as ``de`` or ``de_AT.UTF-8``, else in English, else in any; empty when there is none."""
    wanted = language.partition(".")[0].replace("_", "-").lower()
    for name in (wanted, wanted.partition("-")[0], "en", *sorted(texts)):
        if name in texts:
            return texts[name]
    return ""


def _one_of(text: str, known: tuple[str, ...]) -> str:
    return text if text in known else ""


def _address(text: str) -> str:
    return text if text.startswith(("https://", "http://")) and " " not in text else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 7 else 0


def _by_language(texts: Mapping[str, str], prefix: str) -> Mapping[str, str]:
    found = {key.removeprefix(prefix).lower(): value for key, value in texts.items() if key.startswith(prefix)}
    return MappingProxyType({key: value for key, value in found.items() if key})
