"""Promises of the list of places: every file of systemd/ has one, and none hides another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.install_tree import EXAMPLES, FILES, install_tree, place_of

NAMES = sorted(path.name for path in FILES.iterdir() if path.is_file())


def test_every_file_has_a_place_of_its_own(tmp_path: Path) -> None:
    installed = install_tree(tmp_path)
    assert len(set(installed)) == len(NAMES) > 10
    assert all(path.is_file() for path in installed)


def test_a_file_that_nobody_has_placed_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"surprise\.xml"):
        place_of("surprise.xml")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("ota-agent.service", "usr/lib/systemd/system/ota-agent.service"),
        ("ota-agent-trial.timer", "usr/lib/systemd/system/ota-agent-trial.timer"),
        ("org.otaagent.Agent1.service", "usr/share/dbus-1/system-services/org.otaagent.Agent1.service"),
        ("org.otaagent.Agent1.conf", "usr/share/dbus-1/system.d/org.otaagent.Agent1.conf"),
        ("org.otaagent.Agent1.policy", "usr/share/polkit-1/actions/org.otaagent.Agent1.policy"),
        ("ota-agent.sysusers", "usr/lib/sysusers.d/ota-agent.conf"),
        ("ota-agent.tmpfiles", "usr/lib/tmpfiles.d/ota-agent.conf"),
        ("ota-agent.catalog", "usr/lib/systemd/catalog/ota-agent.catalog"),
        ("ota-agent-leave-trial", "usr/lib/ota-agent/ota-agent-leave-trial"),
        ("ota-agent-rauc.sysusers", "usr/lib/sysusers.d/ota-agent-rauc.conf"),
        ("ota-agent-rauc.rules", "usr/share/polkit-1/rules.d/ota-agent-rauc.rules"),
        ("de.pengutronix.rauc.conf", "usr/share/dbus-1/system.d/de.pengutronix.rauc.conf"),
        ("de.pengutronix.rauc.service", "usr/share/dbus-1/system-services/de.pengutronix.rauc.service"),
        ("ota-agent-hooks.conf", f"{EXAMPLES}/ota-agent-hooks.conf"),
    ],
)
def test_each_program_finds_its_files_where_it_looks_for_them(name: str, place: str) -> None:
    assert place_of(name) == place


@pytest.mark.parametrize("path", sorted(FILES.glob("ota-agent-*.conf")), ids=lambda path: path.stem)
def test_a_drop_in_is_in_force_only_where_it_is_wanted_and_for_a_unit_that_is_there(path: Path, tmp_path: Path) -> None:
    name = path.stem.removeprefix("ota-agent-")
    install_tree(tmp_path, dropins=[name])
    (installed,) = (tmp_path / "etc").rglob("*.conf")
    assert installed.read_bytes() == path.read_bytes()
    assert (tmp_path / "usr/lib/systemd/system" / installed.parent.name.removesuffix(".d")).is_file()


def test_programs_can_be_run_and_nothing_else_can(tmp_path: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in install_tree(tmp_path)}
    assert {name for name, mode in modes.items() if mode != 0o644} == {"ota-agent-leave-trial"}
    assert modes["ota-agent-leave-trial"] == 0o755
