"""Hooks and handlers of real bundles, run by the real installer process on loop devices with real file systems."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import run
from support.programs import APP, Device, device, refusal
from support.shelf import signed_again

from agent.daemon.children import spawn

pytestmark = pytest.mark.root
ROOT = "[image.rootfs]\nfilename=rootfs.ext4\n"
HOOKS = "[hooks]\nfilename=program\n"
CHECK = f"{HOOKS}hooks=install-check\n{ROOT}"
POST = f"{HOOKS}{ROOT}hooks=post-install\n"
HANDLER = "[handler]\nfilename=program\nargs=--fast 'two words'\n"


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Device]:
    with device(tmp_path) as made:
        yield made


def settled(condition, what: str) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def alive(mark: str) -> list[int]:
    """Processes that were started with ``mark`` in their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and mark.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.req("C02")
@pytest.mark.parametrize("groups", [CHECK, POST, HANDLER], ids=["install-check", "slot hook", "handler"])
def test_by_default_a_bundle_with_programs_is_refused_and_told_which_setting_decides(
    board: Device, groups: str
) -> None:
    answer = board.ask("inspect", board.bundle("b", "exit 0", groups), programs=None)
    code, details = refusal(answer)
    assert code == "bundle.hooks-unsupported"
    assert groups.splitlines()[0] in details or "hooks=post-install" in details
    assert "bundle.allow-hooks" in answer.header["error"]["resolution"]


def test_a_hook_program_that_no_section_calls_needs_no_leave(board: Device) -> None:
    assert board.ask("inspect", board.bundle("b", "exit 0", HOOKS + ROOT), programs=None).op == "inspected"


def test_the_check_of_the_bundle_speaks_for_it(board: Device) -> None:
    bundle = board.bundle("b", 'test "$1" = install-check && echo looks good', CHECK)
    assert board.ask("inspect", bundle).header["install_check"] is True
    assert board.check(bundle).op == "checked"
    assert board.said == ["install-check: looks good"]


@pytest.mark.parametrize("status", [10, 255])
def test_a_rejection_tells_the_last_line_of_standard_error(board: Device, status: int) -> None:
    program = f"echo first >&2; echo 'wrong hardware revision' >&2; echo afterwards; exit {status}"
    code, details = refusal(board.check(board.bundle("b", program, CHECK)))
    assert (code, details) == ("hook.rejected", "wrong hardware revision")


def test_a_check_that_fails_is_no_rejection(board: Device) -> None:
    code, details = refusal(board.check(board.bundle("b", "echo oops >&2; exit 9", CHECK)))
    assert code == "hook.failed"
    assert "install-check: exit status 9" in details and "oops" in details


def test_a_hook_finds_what_the_bundle_holds_but_not_its_images(board: Device) -> None:
    program = 'cd "$(dirname "$0")" && ls -1 && cat notes && stat -c %a . notes program'
    bundle = board.bundle("b", program, f"{CHECK}[image.appfs]\nfilename=app.img\n", notes=b"hello\n")
    assert board.check(bundle).op == "checked"
    heard = [line.removeprefix("install-check: ") for line in board.said]
    assert heard == ["manifest.raucm", "notes", "program", "hello", "700", "400", "500"]
    assert not board.work.exists()


def test_slot_hooks_see_the_slot_mounted_before_and_after(board: Device) -> None:
    run("mke2fs", "-q", "-t", "ext4", board.nodes["rootfs.1"])
    program = (
        'case "$1" in slot-pre-install) ls "$RAUC_SLOT_MOUNT_POINT"; touch "$RAUC_SLOT_MOUNT_POINT/old";;\n'
        'slot-post-install) test ! -e "$RAUC_SLOT_MOUNT_POINT/old" || exit 3\n'
        'grep " $RAUC_SLOT_MOUNT_POINT " /proc/self/mounts; echo kept > "$RAUC_SLOT_MOUNT_POINT/note";; *) exit 4;; esac'
    )
    bundle = board.bundle("b", program, f"{HOOKS}{ROOT}hooks=pre-install;post-install\n")
    answer = board.install(bundle)
    assert answer.op == "installed", answer.header
    (result,) = answer.header["results"]
    assert result["sha256"] == hashlib.sha256((board.directory / "rootfs.ext4").read_bytes()).hexdigest()
    assert result["changed_by"] == "post-install"
    assert board.read("rootfs.1", "/note") == "kept"
    assert board.said[0] == "slot-pre-install: lost+found"
    assert "nosuid,nodev" in board.said[1]
    assert "hooks/rootfs.1" not in Path("/proc/self/mounts").read_text()


def test_what_the_image_is_was_checked_before_a_hook_may_change_it(board: Device) -> None:
    """A hook that destroys the slot is not mistaken for a medium that lies, and the other way round."""
    bundle = board.bundle("b", 'dd if=/dev/zero of="$RAUC_SLOT_DEVICE" bs=4096 count=1', POST)
    assert board.installed(bundle) == {"rootfs.1": "post-install"}


def test_a_pre_install_hook_needs_a_file_system_in_the_slot(board: Device) -> None:
    bundle = board.bundle("b", "exit 0", f"{HOOKS}{ROOT}hooks=pre-install\n")
    code, details = refusal(board.install(bundle))
    assert code == "hook.mount-failed"
    assert board.nodes["rootfs.1"] in details and "as ext4" in details
    assert not any(Path(board.nodes["rootfs.1"]).read_bytes()), "nothing was written"


def test_an_install_hook_writes_in_our_place_and_only_its_image_is_unpacked(board: Device) -> None:
    program = 'ls "$RAUC_BUNDLE_MOUNT_POINT"; cat "$RAUC_IMAGE_NAME" > "$RAUC_SLOT_DEVICE"; echo "$1"'
    groups = f"{HOOKS}{ROOT}[image.appfs]\nfilename=app.img\nhooks=pre-install;install;post-install\n"
    assert board.installed(board.bundle("b", program, groups)) == {"rootfs.1": "", "appfs.1": "install"}
    assert Path(board.nodes["appfs.1"]).read_bytes()[: len(APP)] == APP
    assert board.said == [f"slot-install: {line}" for line in ("app.img", "manifest.raucm", "program", "slot-install")]


def test_an_install_hook_may_come_without_an_image(board: Device) -> None:
    program = 'test -z "$RAUC_IMAGE_NAME" && echo made > "$RAUC_SLOT_DEVICE"'
    bundle = board.bundle("b", program, f"{HOOKS}[image.appfs]\nhooks=install\n")
    assert board.installed(bundle) == {"appfs.1": "install"}
    assert Path(board.nodes["appfs.1"]).read_bytes().startswith(b"made\n")


@pytest.mark.req("T05")
def test_an_install_hook_is_not_run_on_a_running_slot(board: Device) -> None:
    bundle = board.bundle("b", "echo ran", f"{HOOKS}[image.appfs]\nhooks=install\n")
    code, _ = refusal(board.install(bundle, booted=[board.nodes["appfs.1"]]))
    assert code == "slot.booted"
    assert board.said == []


def test_a_handler_does_everything_and_its_progress_is_understood(board: Device) -> None:
    program = (
        'echo "<< handler started"; echo "args $# $2"; echo "<< image rootfs.ext4 done"; echo "<< error no more"\n'
        "for n in $RAUC_TARGET_SLOTS; do eval dev=\\$RAUC_SLOT_DEVICE_$n image=\\$RAUC_IMAGE_NAME_$n\n"
        'cat "$RAUC_BUNDLE_MOUNT_POINT/$image" > "$dev"; done'
    )
    groups = f"{HANDLER}{ROOT}[image.appfs]\nfilename=app.img\n"
    assert board.installed(board.bundle("b", program, groups)) == {"rootfs.1": "handler", "appfs.1": "handler"}
    image = (board.directory / "rootfs.ext4").read_bytes()
    assert Path(board.nodes["rootfs.1"]).read_bytes()[: len(image)] == image
    assert Path(board.nodes["appfs.1"]).read_bytes()[: len(APP)] == APP
    assert board.said[1] == "handler: args 2 two words"
    assert board.progress == ["handler status: started", "", "image rootfs.ext4 done", "error: no more"]


@pytest.mark.req("C15")
def test_a_program_has_no_network_no_privileges_to_gain_and_no_descriptor_of_ours(board: Device) -> None:
    program = "ls /proc/self/fd; grep -c : /proc/self/net/dev; grep NoNewPrivs /proc/self/status; umask; env; echo $$"
    assert board.check(board.bundle("b", program, CHECK)).op == "checked"
    heard = [line.removeprefix("install-check: ") for line in board.said]
    assert heard[:4] == ["0", "1", "2", "3"], "3 is the directory that ls reads"
    assert heard[4] == "1", "only the loopback interface"
    assert heard[5] == "NoNewPrivs:\t1".replace("\t", "?")
    assert heard[6] == "0022"
    assert heard[-1] == "1", "the first process of its namespace"
    names = {line.split("=")[0] for line in heard[7:-1]}
    assert {name for name in names if not name.startswith("RAUC_")} == {"PATH", "LANG", "PWD"}


def test_a_program_that_takes_too_long_is_killed_with_all_that_it_has_started(board: Device) -> None:
    mark = f"86{os.getpid()}"
    program = f"setsid sleep {mark} & echo waiting; exec sleep {mark}"
    started = time.monotonic()
    bundle = board.bundle("b", program, CHECK)
    code, details = refusal(board.check(bundle, programs=board.leave(timeout=1)))
    assert code == "hook.timeout"
    assert "after 1 s" in details and "waiting" in details
    assert time.monotonic() - started < 10
    assert alive(mark) == []
    assert not board.work.exists()


def test_what_a_program_leaves_running_ends_with_it(board: Device) -> None:
    mark = f"87{os.getpid()}"
    program = f"setsid sleep {mark} >/dev/null 2>&1 & exit 0"
    assert board.check(board.bundle("b", program, CHECK)).op == "checked"
    assert alive(mark) == []


def test_what_a_program_leaves_mounted_is_gone_before_anything_is_removed(board: Device) -> None:
    precious = board.directory / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    program = (
        f'mkdir "$RAUC_MOUNT_PREFIX/x" && mount --bind {precious} "$RAUC_MOUNT_PREFIX/x" && cat "$RAUC_MOUNT_PREFIX/x/file"\n'
        f'mount --bind {precious} "$RAUC_SLOT_MOUNT_POINT"'
    )
    assert board.installed(board.bundle("b", program, POST)) == {"rootfs.1": "post-install"}
    assert board.said == ["slot-post-install: keep"]
    assert (precious / "file").read_text() == "keep"
    assert not board.work.exists()


def test_a_program_that_closes_its_outputs_is_still_waited_for(board: Device) -> None:
    program = "exec >&- 2>&-; sleep 0.3; exit 12"
    assert refusal(board.check(board.bundle("b", program, CHECK)))[0] == "hook.rejected"


def test_endless_output_is_cut(board: Device) -> None:
    program = "printf '%01000000d' 1; echo; yes no | head -n 100000; printf '\\033[2J\\n'"
    assert board.check(board.bundle("b", program, CHECK)).op == "checked"
    assert len(board.said) == 501
    assert max(map(len, board.said)) < 500
    assert board.said[-1] == "install-check: what it says from here on is left out"


@pytest.mark.req("S08")
def test_after_a_kill_nothing_runs_or_is_mounted_and_the_next_start_cleans_up_and_starts_over(board: Device) -> None:
    mark = f"88{os.getpid()}"
    program = f"touch {board.directory}/there; test -e {board.directory}/second || exec sleep {mark}\necho x"
    bundle = board.bundle("b", program, POST)
    request = board.known(bundle)
    board.send("install", bundle, **request)
    settled((board.directory / "there").exists, "the hook runs")
    assert (board.work / "bundle" / "program").exists()
    os.kill(board.child.pid, signal.SIGKILL)
    board.child.death()
    settled(lambda: not alive(mark), "the hook dies with the installer")
    assert (board.work / "bundle" / "program").exists(), "nobody was there to remove it"

    (board.directory / "second").touch()
    with spawn("installer") as board.child:
        answer = board.ask("install", bundle, **{**request, "starts": {"rootfs.ext4": 4096 * 16}})
    assert answer.op == "installed", answer.header
    assert answer.number("written") + answer.number("skipped") == (board.directory / "rootfs.ext4").stat().st_size, (
        "from the beginning"
    )
    assert not board.work.exists()


def test_a_program_that_is_not_executable_is_explained(board: Device) -> None:
    """Our builder makes no such bundle; another may."""
    bundle = board.bundle("b", "", "[handler]\nfilename=program\n", other=b"#!/bin/sh\n")
    bundle.write_bytes(signed_again(bundle, lambda text: text.replace(b"filename=program", b"filename=other")))
    code, details = refusal(board.install(bundle))
    assert (code, details) == ("hook.not-started", f"other: [Errno 13] Permission denied: '{board.work}/bundle/other'")


@pytest.mark.parametrize(
    ("program", "args", "reason"),
    [
        ("#!/no/such/interpreter\n", "", "No such file"),
        ("\x7fELF", "", "format error"),
        ("#!/bin/sh\n", "'", "quotation"),
    ],
    ids=["no interpreter", "other machine", "quotes"],
)
def test_a_program_that_cannot_be_started_is_explained(board: Device, program: str, args: str, reason: str) -> None:
    text = f"[handler]\nfilename=program\nargs={args or 'x'}\n"
    code, details = refusal(board.install(board.bundle("b", program, text, first="")))
    assert code == "hook.not-started"
    assert reason in details


def test_without_room_for_what_an_install_hook_needs_nothing_is_touched(board: Device) -> None:
    small = board.directory / "small"
    small.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=17M", "none", small)
    try:
        groups = f"{HOOKS}{ROOT}hooks=install\n"
        bundle = board.bundle("b", "echo ran", groups)
        code, details = refusal(board.install(bundle, programs=board.leave(directory=str(small / "hooks"))))
        assert code == "storage.no-space"
        assert "bytes are needed" in details
        assert board.said == []
        assert list(small.iterdir()) == []
    finally:
        run("umount", small)


def test_an_image_of_each_class_is_chosen_by_variant(board: Device) -> None:
    groups = f"{ROOT}[image.appfs]\nfilename=app.img\n[image.appfs.red]\nfilename=red.img\n"
    bundle = board.bundle("b", "", groups, **{"red.img": b"red" * 5000})
    answer = board.ask("inspect", bundle, variant="red")
    assert [image["filename"] for image in answer.header["images"]] == ["rootfs.ext4", "red.img"]
    assert board.install(bundle, variant="red").op == "installed"
    assert Path(board.nodes["appfs.1"]).read_bytes().startswith(b"redred")
    assert board.install(bundle, variant="blue").op == "installed"
    assert Path(board.nodes["appfs.1"]).read_bytes().startswith(APP)


def test_a_bundle_for_other_variants_only_is_refused_before_anything_is_touched(board: Device) -> None:
    bundle = board.bundle("b", "", "[image.rootfs.red]\nfilename=rootfs.ext4\n")
    assert refusal(board.ask("inspect", bundle, variant="blue"))[0] == "bundle.no-variant"
