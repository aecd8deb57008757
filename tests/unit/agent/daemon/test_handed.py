"""A bundle that is handed over as an open file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.asked import Asked
from support.pretend import Disk, Environment, Patient, context, device

from agent.daemon.activities.idle import Idle, handed_over
from agent.daemon.activities.offer import offered
from agent.daemon.activities.report import reporting
from agent.daemon.handed import Given, Handed
from agent.daemon.inbox import Inbox
from agent.daemon.knowledge import Knowledge
from agent.daemon.machine import Event, State
from agent.daemon.presence import Presence
from agent.daemon.record import Record
from agent.errors import BundleError, EnvironmentFault, PolicyError


@contextmanager
def file(path: Path | str, flags: int = os.O_RDONLY) -> Iterator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "update.raucb"
    path.write_bytes(b"bundle")
    return path


def kept(handed: Handed, path: Path, name: str = "update.raucb") -> Given:
    with file(path) as fd:
        return handed.keep(fd, name)


def content(handed: Handed, record: Record) -> bytes:
    with handed.opened(record) as fd:
        return os.pread(fd, 100, 0)


def test_the_file_is_read_that_was_handed_over_whatever_is_at_its_path_by_now(bundle: Path) -> None:
    handed = Handed()
    record = handed_over(kept(handed, bundle))
    bundle.unlink()
    bundle.write_bytes(b"another")
    assert content(handed, record) == b"bundle"
    assert content(handed, record) == b"bundle", "as often as it is needed"


def test_a_file_without_a_path_can_be_handed_over() -> None:
    handed = Handed()
    memory = os.memfd_create("update")
    os.write(memory, b"bundle")
    with file(f"/proc/self/fd/{memory}") as fd:
        given = handed.keep(fd, "update.raucb")
    os.close(memory)
    assert (given.path, given.size) == ("", 6)
    assert content(handed, handed_over(given)) == b"bundle"


@pytest.mark.req("S03")
def test_a_new_daemon_goes_on_with_the_same_file(bundle: Path) -> None:
    record = handed_over(kept(Handed(), bundle))
    assert content(Handed(), record) == b"bundle"


@pytest.mark.parametrize("change", ["gone", "other", "written"])
def test_a_new_daemon_does_not_go_on_with_another_file(bundle: Path, change: str) -> None:
    record = handed_over(kept(Handed(), bundle))
    if change == "written":
        os.utime(bundle, ns=(1, 1))
    else:
        bundle.rename(bundle.with_suffix(".old"))
        if change == "other":
            bundle.write_bytes(b"bundle")
    with pytest.raises(BundleError) as caught:
        content(Handed(), record)
    assert (caught.value.code, caught.value.retryable) == ("install.descriptor-lost", False)


def test_a_pipe_at_the_path_does_not_stop_a_new_daemon(bundle: Path) -> None:
    record = handed_over(kept(Handed(), bundle))
    bundle.unlink()
    os.mkfifo(bundle)
    with pytest.raises(BundleError):
        content(Handed(), record)


@pytest.mark.req("T25")
@pytest.mark.parametrize("kind", ["directory", "device", "pipe", "path-only", "for-writing", "closed"])
def test_what_is_no_file_open_for_reading_alone_is_refused(tmp_path: Path, bundle: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    where, flags = {
        "directory": (tmp_path, os.O_RDONLY),
        "device": (Path("/dev/null"), os.O_RDONLY),
        "pipe": (tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK),
        "path-only": (bundle, os.O_PATH),
        "for-writing": (bundle, os.O_RDWR),
        "closed": (bundle, os.O_RDONLY),
    }[kind]
    handed = Handed()
    with pytest.raises(BundleError) as caught, file(where, flags) as fd:
        handed.keep(fd if kind != "closed" else 987, "x")
    assert caught.value.code == "install.descriptor"


def test_only_one_is_kept_and_it_is_let_go(bundle: Path) -> None:
    handed = Handed()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        kept(handed, bundle)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    handed.release()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_name_is_made_fit_to_be_shown(bundle: Path) -> None:
    handed = Handed()
    assert kept(handed, bundle, "/tmp/../x/\x1b[2Jup\ndate.raucb").name == "[2Jupdate.raucb"
    assert kept(handed, bundle, "").name == kept(handed, bundle, "/").name == "update.raucb"
    odd = Path(shutil.copyfile(bundle, bundle.with_name("\x1b[2Jup\ndate.raucb")))
    assert kept(handed, odd, "").name == "[2Jupdate.raucb"


def presence(inbox: Inbox, handed: Handed) -> Presence:
    here: Any = device(Environment())
    knowledge = Knowledge(Disk())  # type: ignore[arg-type]  # the same interface
    return Presence(inbox, here, knowledge, Asked(), "none", has_server=False, record=Record(), handed=handed)


def test_what_is_handed_over_is_installed_and_let_go_at_the_end(bundle: Path) -> None:
    handed, inbox = Handed(), Inbox()
    with file(bundle) as fd:
        presence(inbox, handed).install_file(fd, "update.raucb", {})
    bundle.unlink()
    here = context(Disk(), Environment(), inbox=inbox, handed=handed, server=None)
    step = Idle(here, lambda: None)(Record())  # type: ignore[arg-type]  # settles nothing
    assert (step.event, step.record.origin, step.record.name) == (Event.OFFERED, "local", "update.raucb")
    step = offered(here, step.record)
    assert (step.event, step.record.size) == (Event.DONE, 6)
    assert content(handed, step.record) == b"bundle"
    reporting(here, Record(state=State.REPORTING, origin="local", outcome="failure"))
    with pytest.raises(BundleError):
        content(handed, step.record)


def test_a_second_one_has_to_wait_and_no_option_is_known(bundle: Path) -> None:
    inbox, handed = Inbox(), Handed()
    door = presence(inbox, handed)
    with file(bundle) as fd:
        with pytest.raises(PolicyError) as caught:
            door.install_file(fd, "update.raucb", {"ignore-signature": True})
        assert caught.value.code == "install.option"
        door.install_file(fd, "update.raucb", {})
        with pytest.raises(EnvironmentFault) as busy:
            door.install_file(fd, "update.raucb", {})
    assert busy.value.code == "update.busy"


def test_the_report_of_one_does_not_let_the_next_one_go(bundle: Path) -> None:
    handed, inbox = Handed(), Patient.__new__(Patient)
    Inbox.__init__(inbox)
    given = kept(handed, bundle)
    inbox.install_given(given)
    bundle.unlink()
    here = context(Disk(), Environment(), inbox=inbox, handed=handed)
    reporting(here, Record(state=State.REPORTING, origin="local", outcome="failure"))
    assert content(handed, handed_over(given)) == b"bundle"
