"""The operator's calls do what they say, on every server that has hawkBit's Management API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.management import Management

from hawkbit.instances import Instance, running


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running("development", tmp_path_factory.mktemp("development")) as one:
        yield one


@pytest.fixture
def operator(instance: Instance) -> Management:
    assert instance.management
    return instance.management


def test_an_assignment_is_an_action_with_a_history(operator: Management, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.raucb"
    bundle.write_bytes(b"some bytes")
    operator.target("mgmt-1", token="t")
    module = operator.module("rootfs", "1", metadata={"severity": "low"})
    operator.artifact(module, bundle)
    action = operator.assign(operator.distribution("fw", "1", [module]), "mgmt-1")
    assert operator.action("mgmt-1", action)["status"] in ("pending", "running")  # the latter since hawkBit 0.10.0
    assert [entry["type"] for entry in operator.statuses("mgmt-1", action)] == ["running"]
    said = [text.removeprefix("Update Server: ") for text in operator.messages("mgmt-1", action)]  # as above
    assert said == ["Assignment initiated by user 'admin'"]
    assert operator.installed("mgmt-1") is None and operator.attributes("mgmt-1") == {}
    operator.cancel("mgmt-1", action)
    assert operator.action("mgmt-1", action)["type"] == "cancel"


def test_a_refusal_is_told_with_its_reason(operator: Management) -> None:
    with pytest.raises(AssertionError, match="404"):
        operator.action("nobody", 1)
