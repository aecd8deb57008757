"""The update that waits, and the policy, as a person understands them at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping

_MOST_FIXES = 4


def notice_rows(update: Mapping[str, object], span: Mapping[str, str]) -> list[tuple[str, str]]:
    """What there is to know of an update, and to decide.

    Args:
        update: the properties of ``org.otaagent.Agent1.Update``; unknown and missing ones do no harm.
        span: durations in words: ``deadline`` from now on, ``postponed`` still, ``postponable``; empty where there is none.
    """
    if update.get("Available") is not True:
        return []
    notice = update.get("Notice")
    told = notice if isinstance(notice, dict) else {}
    rows = [("notice", f"{told.get('line') or ''}{'' if told.get('verified') == 'true' else ' (not verified yet)'}")]
    rows.append(("fixes", _fixes(update.get("Fixes"))))
    rows.append(("advisory", str(update.get("AdvisoryUrl") or "")))
    rows.append(("postponed", f"for {span['postponed']}: ota-agent install-now ends that" if span["postponed"] else ""))
    rows.append(("by itself", f"in {span['deadline']} at the latest" if span["deadline"] else ""))
    left = update.get("DefersLeft")
    if span["postponable"] and isinstance(left, int) and left > 0:
        times = "once more" if left == 1 else f"{left} times more"
        rows.append(("later", f"{times}, up to {span['postponable']} at once: ota-agent postpone"))
    return [(name, text) for name, text in rows if text]


def policy_row(policy: Mapping[str, object]) -> tuple[str, str]:
    """What somebody has decided about updates in general; an empty text when they are installed as they come."""
    said = []
    if policy.get("AutoSecurityUpdates") is False:
        said.append("no update is installed by itself: ota-agent auto on")
    elif policy.get("AutoFunctionalityUpdates") is False:
        said.append("only security updates are installed by themselves")
    asks = {"ask-install": "each is asked about", "ask-download": "each is asked about before it is fetched"}
    if (approval := str(policy.get("Approval") or "")) in asks:
        said.append(asks[approval])
    windows = policy.get("Windows")
    if isinstance(windows, list | tuple) and windows:
        zone = str(policy.get("TimeZone") or "")
        said.append(f"in {'; '.join(map(str, windows))}{f' ({zone})' if zone else ''}")
    return "policy", ", ".join(said)


def _fixes(value: object) -> str:
    fixes = [str(each) for each in value] if isinstance(value, list | tuple) else []
    more = len(fixes) - _MOST_FIXES
    return ", ".join([*fixes[:_MOST_FIXES], *([f"and {more} more"] if more > 0 else [])])
