"""What the owner of the device has configured, and what its user has changed of that. Pure.

The configuration holds the defaults; ``policy.json`` in the state directory holds only what was changed on the device, so that
a new default of the vendor reaches everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.config import PolicySettings
from agent.consent.facts import Facts
from agent.errors import PolicyError

# Name of a setting that may be changed on the device, and of its property on D-Bus.
CHANGEABLE: Mapping[str, str] = {
    "auto-security": "AutoSecurityUpdates",
    "auto-functionality": "AutoFunctionalityUpdates",
    "approval": "Approval",
    "windows": "Windows",
    "time-zone": "TimeZone",
    "metered": "Metered",
    "bandwidth-limit": "BandwidthLimit",
}
_RATE = "bandwidth-limit"  # stands for server.max-rate
_HOUR, _DAY = 3600.0, 86400.0
# Seconds after the first sight of a security update for which a consumer's device waits. The law asks for an appropriate
# timeframe (Regulation (EU) 2024/2847, Annex I, Part I (2)(c)); the numbers are ours. One that does not say is like "low".
_DEADLINES: Mapping[str, float] = {
    "exploited": 24 * _HOUR, "critical": 72 * _HOUR, "high": 7 * _DAY, "medium": 30 * _DAY, "low": 90 * _DAY,
}  # fmt: skip
# Seconds for which an update of this urgency may be postponed in all, if the configuration does not say less.
_TOTALS: Mapping[str, float] = {"exploited": 24 * _HOUR, "critical": 72 * _HOUR}


def effective(configured: PolicySettings, changes: Mapping[str, object]) -> PolicySettings:
    """The policy in force.

    Args:
        configured: ``[policy]``.
        changes: by name of the setting, as ``accepted`` returned them.
    """
    values = {name.replace("-", "_"): value for name, value in changes.items() if name in CHANGEABLE and name != _RATE}
    return replace(configured, **values)  # type: ignore[arg-type]  # each value was accepted by the kind of its setting


def setting(name: str) -> str:
    """The name of a setting that may be changed here, given that or its name on D-Bus.

    Raises:
        PolicyError: ``policy.unknown``.
    """
    for key, member in CHANGEABLE.items():
        if name in (key, member):
            return key
    raise PolicyError(
        "policy.unknown", "there is no such setting that could be changed on the device", details=name[:80],
        resolution=f"what can be changed: {', '.join(CHANGEABLE)}; everything else is in the configuration file",
    )  # fmt: skip


def accepted(name: str, value: object) -> object:
    """The value of a setting, checked by the same rule as in a configuration file.

    Args:
        name: see ``setting``.
        value: plain values; a sequence for a list.

    Raises:
        PolicyError: ``policy.invalid``.
    """
    from agent.config_network import (
        NETWORK_SETTINGS,
    )  # with what else reads configurations: only when somebody changes one
    from agent.config_policy import POLICY_SETTINGS

    wanted = "max-rate" if name == _RATE else name
    kind = next(row.kind for row in (*POLICY_SETTINGS, *NETWORK_SETTINGS) if row.key == wanted)
    try:
        return kind.accept(value, Path("/"))
    except ValueError as error:
        raise PolicyError(
            "policy.invalid", f"{name} cannot have this value", details=f"expected {kind.expected}, got {str(value)[:80]!r}",
            resolution="see ota-agent.toml and docs/configuration.md",
        ) from error  # fmt: skip


def approval(policy: PolicySettings) -> str:
    """What needs consent: nobody has agreed in advance to what happens to a machine that must not stop by itself."""
    return "ask-install" if policy.profile == "industrial" and policy.approval == "auto" else policy.approval


def opted_out(policy: PolicySettings, facts: Facts) -> bool:
    """Whether such an update is not to be installed by itself. One that says nothing of itself is about security."""
    return not (policy.auto_functionality if facts.functional else policy.auto_security)


def deadline(facts: Facts) -> float:
    """Seconds from the first sight of an update to its deadline; infinite for one that is not about security."""
    return float("inf") if facts.functional else _DEADLINES.get(facts.urgency, _DEADLINES["low"])


def postpone_total(policy: PolicySettings, facts: Facts) -> float:
    """Seconds for which such an update may be postponed in all."""
    return min(policy.postpone_total, _TOTALS.get(facts.urgency, policy.postpone_total), deadline(facts))
