"""The real installer process, driven as the daemon drives it: several images, resuming, refusing, dying."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pki.build import pem, shared_pki
from pki.crls import crl_pem
from support.bundles import make_content, some_image
from support.frames import common

from agent.bundler.build import create
from agent.bundler.content import read_directory
from agent.bundler.key_pem import PemSigner
from agent.daemon.children import Child, spawn
from agent.errors import EnvironmentFault, OtaError, from_explained
from agent.wire import Frame

MIB = 1024 * 1024
ROOTFS, APPFS = some_image(20 * MIB + 4096, seed=1), some_image(3 * MIB, seed=2)
ENTRY = Path(__file__).parents[2] / "agent" / "__main__.py"


@dataclass
class Bench:
    """An installer, a bundle with two images, and a slot group of two files."""

    directory: Path
    child: Child
    bundle: Path

    def ask(self, op: str, **more: object) -> Frame:
        """Sends a request and returns the final answer; progress and checkpoints are kept in ``heard``."""
        fd = os.open(self.bundle, os.O_RDONLY)
        try:
            self.child.channel.send({"op": op, **self.common(), **more}, fds=(fd,))
        finally:
            os.close(fd)
        self.heard: list[Frame] = []
        while True:
            frame = self.child.receive(60)
            if frame.op not in ("progress", "checkpoint"):
                return frame
            self.heard.append(frame)

    def install(self, **more: object) -> Frame:
        """Installs what was inspected."""
        manifest_hash = self.ask("inspect").text("manifest_hash")
        return self.ask("install", **{"manifest_hash": manifest_hash, **self.plan(), **more})

    def refused(self, op: str, **more: object) -> str:
        """Returns the code of the error."""
        answer = self.ask(op, **more)
        assert answer.op == "error"
        error: OtaError = from_explained(answer.header["error"])
        return error.code

    def common(self) -> dict[str, object]:
        return common(self.directory / "root.pem")

    def plan(self) -> dict[str, object]:
        slots = [
            {"name": f"{name}.1", "class": name, "index": 1, "device": str(self.slot(name)), "type": "raw"}
            for name in ("rootfs", "appfs")
        ]
        return {"booted": [str(self.directory / "running.img")], "starts": {}, "slots": slots}

    def slot(self, name: str) -> Path:
        return self.directory / f"{name}.img"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    (tmp_path / "root.pem").write_bytes(pem(shared_pki().root))
    for name, size in (("running", MIB), ("rootfs", 24 * MIB), ("appfs", 4 * MIB)):
        with (tmp_path / f"{name}.img").open("wb") as file:
            file.truncate(size)
    extra = "[image.appfs]\nfilename=app.img\n"
    content = make_content(tmp_path / "content", version="1", compatible="demo-board", image=ROOTFS, extra=extra)
    (content / "app.img").write_bytes(APPFS)
    bundle, signer = tmp_path / "update.raucb", shared_pki().signer()
    create(
        read_directory(content),
        bundle,
        signer=PemSigner(signer.certificate, signer.key),
        intermediates=signer.intermediates,
    )
    with spawn("installer") as child:
        yield Bench(tmp_path, child, bundle)


def test_the_inspection_tells_what_the_daemon_decides_by(bench: Bench) -> None:
    answer = bench.ask("inspect")
    assert (answer.op, answer.text("compatible"), answer.text("version")) == ("inspected", "demo-board", "1")
    assert [image["class"] for image in answer.header["images"]] == ["rootfs", "appfs"]
    assert answer.number("signed_at") > 0


@pytest.mark.req("T21", "S03")
def test_all_images_of_a_bundle_go_to_the_slots_of_their_classes(bench: Bench) -> None:
    answer = bench.install()
    assert answer.op == "installed", answer.header
    assert bench.slot("rootfs").read_bytes()[: len(ROOTFS)] == ROOTFS
    assert bench.slot("appfs").read_bytes()[: len(APPFS)] == APPFS
    assert answer.number("written") == len(ROOTFS) + len(APPFS)
    checkpoints = [frame.number("offset") for frame in bench.heard if frame.op == "checkpoint"]
    assert checkpoints[0] == 8 * MIB


@pytest.mark.req("S08")
def test_an_installation_goes_on_at_a_checkpoint(bench: Bench) -> None:
    bench.slot("rootfs").write_bytes(ROOTFS[: 16 * MIB] + bytes(8 * MIB))
    (name,) = [image["filename"] for image in bench.ask("inspect").header["images"] if image["class"] == "rootfs"]
    answer = bench.install(starts={name: 16 * MIB})
    assert answer.number("written") == len(ROOTFS) - 16 * MIB + len(APPFS)
    assert bench.slot("rootfs").read_bytes()[: len(ROOTFS)] == ROOTFS


@pytest.mark.req("S08")
def test_it_goes_on_at_the_last_checkpoint_which_need_not_be_where_a_block_of_the_bundle_begins(bench: Bench) -> None:
    assert bench.install().op == "installed"
    reached = {frame.text("image"): frame.number("offset") for frame in bench.heard if frame.op == "checkpoint"}
    assert len(ROOTFS) in reached.values()
    answer = bench.install(starts=reached)
    assert answer.op == "installed", answer.header
    assert answer.number("written") == 0


@pytest.mark.req("S35", "C11")
def test_a_checkpoint_that_lies_is_found_by_reading_back(bench: Bench) -> None:
    (name,) = [image["filename"] for image in bench.ask("inspect").header["images"] if image["class"] == "rootfs"]
    answer = bench.install(starts={name: 8 * MIB})
    assert answer.op == "error"
    assert answer.header["error"]["code"] == "slot.read-back"


@pytest.mark.req("T19")
def test_another_bundle_than_the_inspected_one_is_not_installed(bench: Bench) -> None:
    assert bench.refused("install", manifest_hash="00" * 32, **bench.plan()) == "bundle.changed"
    assert not any(bench.slot("rootfs").read_bytes())


def test_a_format_that_is_not_accepted_here_is_refused(bench: Bench) -> None:
    assert bench.refused("inspect", formats=["plain"]) == "bundle.format-refused"


@pytest.mark.req("T05")
def test_the_running_slot_is_never_a_target(bench: Bench) -> None:
    manifest_hash = bench.ask("inspect").text("manifest_hash")
    plan = {**bench.plan(), "booted": [str(bench.slot("rootfs"))]}
    assert bench.refused("install", manifest_hash=manifest_hash, **plan) == "slot.booted"


@pytest.mark.parametrize("plan", [{"slots": []}, {"slots": "x"}, {"slots": [1]}, {"starts": 3}, {"booted": []}])
def test_a_plan_that_makes_no_sense_is_refused(bench: Bench, plan: dict[str, object]) -> None:
    manifest_hash = bench.ask("inspect").text("manifest_hash")
    request = {"manifest_hash": manifest_hash, **bench.plan(), **plan}
    assert bench.refused("install", **request) == "ipc.protocol"


def test_an_unknown_request_is_refused_and_the_conversation_goes_on(bench: Bench) -> None:
    assert bench.refused("format-the-disk") == "ipc.protocol"
    assert bench.ask("inspect").op == "inspected"


@pytest.mark.req("C15")
@pytest.mark.root
def test_it_has_no_network_and_cannot_gain_privileges(bench: Bench) -> None:
    bench.ask("inspect")
    proc = Path("/proc") / str(bench.child.pid)
    assert os.readlink(proc / "ns/net") != os.readlink("/proc/self/ns/net")
    interfaces = (proc / "net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    assert "NoNewPrivs:\t1" in (proc / "status").read_text()


def test_its_death_is_explained(bench: Bench) -> None:
    bench.ask("inspect")
    os.kill(bench.child.pid, signal.SIGKILL)
    with pytest.raises(EnvironmentFault) as caught:
        bench.child.receive(10)
    assert (caught.value.code, caught.value.retryable) == ("child.died", True)
    assert "SIGKILL" in caught.value.details


def test_it_ends_when_the_daemon_hangs_up(bench: Bench) -> None:
    bench.ask("inspect")
    bench.child.channel.close()
    assert bench.child.death().details == "exit status 0"


def test_started_by_hand_it_says_how_it_is_meant_to_be_started() -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(ENTRY), "installer"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "started by the daemon" in done.stderr) == (2, True)


@pytest.mark.req("T09")
@pytest.mark.parametrize(
    ("trust", "code"),
    [
        ({"check_crl": True}, "bundle.crl-missing"),
        ({"allowed_signer_cns": ["somebody"]}, "bundle.signer-not-allowed"),
        ({"path": "", "directory": "/nonexistent"}, "trust.keyring-missing"),
        ({"path": ""}, "trust.keyring-invalid"),
        ({"check_purpose": "smimesign"}, "bundle.certificate-purpose"),
        ({"allowed_signer_cns": None}, "ipc.protocol"),
        ({"check_crl": None}, "bundle.crl-missing"),
    ],
)
def test_the_daemon_says_whom_to_believe(bench: Bench, trust: dict[str, object], code: str) -> None:
    usual = bench.common()["trust"]
    assert isinstance(usual, dict)
    assert bench.refused("inspect", trust={**usual, **trust}) == code


def test_crls_that_nobody_looks_at_are_told(bench: Bench) -> None:
    with (bench.directory / "root.pem").open("ab") as file:
        file.write(crl_pem(shared_pki(), "root"))
    assert "check-crl" in bench.ask("inspect").header["warnings"][0]  # type: ignore[index]  # plain values
