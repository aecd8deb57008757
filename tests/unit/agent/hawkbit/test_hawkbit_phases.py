"""Numbers for operators: stable, below those of errors, and all of them in the manual."""

from __future__ import annotations

from pathlib import Path

from agent.codes import CODES
from agent.hawkbit.feedback import safe_details
from agent.hawkbit.phases import Phase, switched_to, switching_text

ROOT = Path(__file__).resolve().parents[4]


def test_phases_and_errors_never_share_a_number() -> None:
    assert max(Phase) < 1000 < min(number for number, _ in CODES.values())


def test_the_manual_lists_every_phase() -> None:
    manual = (ROOT / "docs" / "hawkbit.md").read_text("utf-8")
    assert all(f"| {phase.value} |" in manual for phase in Phase)


def test_the_server_gives_back_what_we_switched_to_and_the_newest_counts() -> None:
    first, second = (safe_details([switching_text("1", "A", digest * 32)])[0] for digest in ("ab", "cd"))
    assert switched_to(("failed", second, "Device reported status code: 150", first)) == "cd" * 8
    assert switched_to(("writing version 1 to slot A", "")) == ""
