"""Whether programs of a bundle may run, and what they are told: without any process."""

from __future__ import annotations

import uuid
from pathlib import Path
from types import MappingProxyType

import pytest

from agent.bundle.manifest import Image, Manifest
from agent.errors import OtaError
from agent.installer.environment import for_check, for_handler
from agent.installer.hooks import progress_of
from agent.installer.permission import Facts, permission
from agent.wire import Frame

HOOKED = Manifest("demo", images=(Image("rootfs", None, "a", "00" * 32, 1, hooks=("install",)),), hook_filename="hook")
TOLD: dict[str, object] = {
    "timeout": 5, "directory": "/run/x", "config": "c", "compatible": "demo", "variant": "", "version": "1", "bootname": "A",
    "transaction": "7", "targets": [], "slots": [],
}  # fmt: skip


def facts(**changes: object) -> Facts:
    allowed = permission(HOOKED, Frame({"programs": {**TOLD, **changes}}), "")
    assert allowed is not None
    return allowed.facts


def refusal(frame: Frame, restriction: str = "") -> OtaError:
    with pytest.raises(OtaError) as caught:
        permission(HOOKED, frame, restriction)
    return caught.value


def test_an_ordinary_bundle_needs_no_leave() -> None:
    assert permission(Manifest("demo", hook_filename="hook"), Frame({}), "no network namespace") is None


@pytest.mark.parametrize("given", [None, True, "yes", []])
def test_anything_but_the_daemons_leave_is_a_refusal(given: object) -> None:
    error = refusal(Frame({"programs": given}))
    assert (error.code, error.details) == ("bundle.hooks-unsupported", "found [image.rootfs] hooks=install")


@pytest.mark.req("C15")
def test_an_installer_with_a_network_runs_no_programs() -> None:
    error = refusal(Frame({"programs": TOLD}), "no network namespace: the daemon is not root")
    assert error.code == "hook.not-confined"
    assert "not root" in error.details
    assert not error.retryable


@pytest.mark.parametrize("key", [*TOLD])
def test_a_leave_that_lacks_something_is_refused(key: str) -> None:
    told = {name: value for name, value in TOLD.items() if name != key}
    if key in ("slots", "targets", "timeout"):
        assert refusal(Frame({"programs": told})).code == "ipc.protocol"
    else:
        assert refusal(Frame({"programs": {**TOLD, key: 7}})).code == "ipc.protocol"


def test_every_attempt_of_a_deployment_has_the_same_transaction_and_another_deployment_another() -> None:
    def transaction(**changes: object) -> str:
        return for_handler(facts(**changes), HOOKED, Path("/x"))["RAUC_TRANSACTION_ID"]

    assert uuid.UUID(transaction()) == uuid.UUID(transaction()) != uuid.UUID(transaction(transaction="8"))


def test_meta_data_becomes_variables_as_in_rauc() -> None:
    meta = MappingProxyType({"my-label": MappingProxyType({"some-key": "a value", "n": "1"})})
    told = for_check(facts(), Manifest("demo", meta=meta))
    assert {name: value for name, value in told.items() if name.startswith("RAUC_META_")} == {
        "RAUC_META_MY_LABEL_SOME_KEY": "a value",
        "RAUC_META_MY_LABEL_N": "1",
    }


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("<< handler unpacking", "handler status: unpacking"),
        ("<< image rootfs.img 40%", "image rootfs.img 40%"),
        ("<< bootloader done", "bootloader status: done"),
        ("<< error no space left", "error: no space left"),
        ("<< debug x", "debug: x"),
        ("<< unheard of", "handler: unheard of"),
        ("<< handler", "handler: handler"),
        ("<<", ""),
        ("<<handler x", ""),
        ("ordinary", ""),
    ],
)
def test_lines_of_a_handler_become_progress(line: str, text: str) -> None:
    assert progress_of(line) == text
