"""On what terms a bundle is installed: which options there are, and that another bundle is refused."""

from __future__ import annotations

import pytest
from support.pretend import Disk, Environment, context

from agent.daemon.activities.holdings import installed_by
from agent.daemon.slot_status import SlotStatus
from agent.daemon.terms import Terms, require_demanded, terms_of
from agent.errors import PolicyError

HASH = "0123456789abcdef" * 4


def test_both_options_are_read() -> None:
    assert terms_of({"manifest-hash": HASH, "transaction": "t-1"}) == Terms(HASH, "t-1")


def test_without_options_any_bundle_will_do() -> None:
    assert terms_of({}) == Terms("", "")


@pytest.mark.parametrize(
    "options",
    [
        {"force": True}, {"manifest-hash": HASH[1:]}, {"manifest-hash": HASH.upper()}, {"manifest-hash": 7},
        {"transaction": ""}, {"transaction": "a b"}, {"transaction": "x" * 101},
    ],
)  # fmt: skip
def test_anything_else_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(PolicyError) as caught:
        terms_of(options)
    assert caught.value.code == "install.option"


def test_only_the_manifest_that_was_demanded_passes() -> None:
    require_demanded("", HASH)
    require_demanded(HASH, HASH)
    with pytest.raises(PolicyError) as caught:
        require_demanded(HASH, "ff" * 32)
    assert caught.value.code == "install.manifest-hash"


def test_a_name_that_a_caller_gave_is_never_taken_for_an_action_of_the_server() -> None:
    here = context(Disk(), Environment("AB"))
    here.knowledge.change_holdings(
        lambda now: now.with_group("A", now.group("A").__class__("confirmed", "1", HASH)).with_slots(
            {"rootfs.0": SlotStatus(status="ok", installed_transaction=f"- {HASH} 4711")}
        )
    )
    assert installed_by(here.knowledge, here.device) == ""
