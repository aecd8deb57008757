"""Durable documents: the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.daemon.store import MAX_DOCUMENT, Store
from agent.errors import ConfigError, EnvironmentFault


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "state")
    yield store
    store.close()


class PowerCut(BaseException):
    """The power is gone."""


def test_a_document_comes_back(store: Store) -> None:
    store.save("record", {"a": [1, "two", None]})
    assert store.load("record") == {"a": [1, "two", None]}
    assert store.load("other") is None


@pytest.mark.req("S08")
def test_a_document_is_replaced_in_the_only_safe_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("fsync", "rename"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args))[1])
    store.save("record", {})
    assert calls == ["fsync", "rename", "fsync"]


@pytest.mark.req("S08")
def test_the_name_of_a_new_state_directory_is_durable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(Path(f"/proc/self/fd/{fd}").readlink()), real(fd))[1])
    Store(tmp_path / "lib" / "state").close()
    assert synced == [tmp_path, tmp_path / "lib"], "a directory after its parent"
    Store(tmp_path / "lib" / "state").close()
    assert len(synced) == 2, "nothing is new"


@pytest.mark.req("S08")
@pytest.mark.parametrize("at", ["open", "fsync", "rename"])
def test_a_power_cut_at_any_step_leaves_the_old_document(
    store: Store, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    store.save("record", {"age": "old"})

    def cut(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as power:
        power.setattr(os, at, cut)
        with pytest.raises(PowerCut):
            store.save("record", {"age": "new"})
    assert store.load("record") == {"age": "old"}


def test_a_full_disk_is_an_explained_error_and_loses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save("record", {"age": "old"})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault) as caught:
        store.save("record", {"age": "new"})
    assert (caught.value.code, caught.value.retryable) == ("state.write-failed", True)
    assert store.load("record") == {"age": "old"}


@pytest.mark.parametrize("damage", [b"", b"\x00" * 512, b"[1]", b'{"a": ', b"[" * 100_000, b" " * (MAX_DOCUMENT + 1)])
def test_a_broken_document_is_put_aside_and_told(store: Store, damage: bytes) -> None:
    (store.directory / "record.json").write_bytes(damage)
    with pytest.raises(EnvironmentFault) as caught:
        store.load("record")
    assert caught.value.code == "state.unreadable"
    assert store.load("record") is None
    assert (store.directory / "record.json.broken").read_bytes() == damage


def test_two_daemons_cannot_share_a_state(store: Store) -> None:
    with pytest.raises(ConfigError) as caught:
        Store(store.directory)
    assert caught.value.code == "state.locked"


def test_nobody_else_can_read_the_state(store: Store) -> None:
    store.save("record", {})
    assert store.directory.stat().st_mode & 0o077 == 0
    assert (store.directory / "record.json").stat().st_mode & 0o077 == 0
