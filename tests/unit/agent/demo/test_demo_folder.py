"""The folder of a demo: nothing of anybody else's is ever touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.config import load
from agent.demo import factory, play, tools
from agent.demo.bootscript import Flash
from agent.errors import ConfigError, EnvironmentFault


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")

    with pytest.raises(ConfigError) as caught:
        factory.claim(tmp_path)

    assert caught.value.code == "demo.folder"
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_of_an_earlier_demo_is_emptied(tmp_path: Path) -> None:
    os.close(factory.claim(tmp_path / "demo"))
    (tmp_path / "demo" / "log" / "boot-1.log").write_text("old")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("mine")
    (tmp_path / "demo" / "link").symlink_to(tmp_path / "elsewhere")

    os.close(factory.claim(tmp_path / "demo"))

    assert not (tmp_path / "demo" / "log" / "boot-1.log").exists()
    assert (tmp_path / "elsewhere" / "file").read_text() == "mine"


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    lock = factory.claim(tmp_path)
    (tmp_path / "log" / "boot-1.log").write_text("being written")

    with pytest.raises(ConfigError) as caught:
        factory.claim(tmp_path)
    assert caught.value.code == "demo.folder"
    assert (tmp_path / "log" / "boot-1.log").exists()

    os.close(lock)
    os.close(factory.claim(tmp_path))


def test_a_path_that_fw_env_config_cannot_express_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        factory.claim(tmp_path / "my demo")

    assert caught.value.code == "demo.folder"


def test_the_configuration_of_the_device_is_accepted_by_the_agent(tmp_path: Path) -> None:
    os.close(factory.claim(tmp_path))
    slots = {name: tmp_path / name for name in factory.BOOTNAMES}
    factory.make_token(tmp_path)
    factory.make_environment(tmp_path, Flash(tmp_path / "uboot.env", {}))
    overrides = {"update.attempts": 3}
    factory.write_config(tmp_path, slots, "https://127.0.0.1:8443", factory.Timing(soak=0.25), overrides)

    config = load([tmp_path / "device.toml"])

    assert [slot.bootname for slot in config.slots] == ["A", "B"]
    assert config.update.attempts == 3
    assert config.health.soak == 0.25


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find", lambda name: "" if name in ("debugfs", "mksquashfs") else f"/bin/{name}")

    with pytest.raises(EnvironmentFault) as caught:
        tools.require()

    assert caught.value.code == "demo.tool-missing"
    assert "debugfs, mksquashfs" in caught.value.brief
    assert caught.value.resolution == "sudo apt-get install e2fsprogs squashfs-tools"


def test_a_failing_tool_says_why(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        tools.run("mke2fs", str(tmp_path / "missing" / "image"), "8M")

    assert caught.value.code == "demo.tool-failed"
    assert "No such file or directory" in caught.value.details


def test_the_help_tells_all_acts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        play.main(["--help"])

    assert ended.value.code == 0
    text = capsys.readouterr().out
    for act in play.ACTS:
        assert act.title in text


@pytest.mark.parametrize("argv", [["--act", "6"], ["--act", "0"], ["--size", "8"], ["--nonsense"]])
def test_wrong_usage_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        play.main(argv)

    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


def test_a_foreign_folder_ends_the_demo_with_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")

    assert play.main(["--dir", str(tmp_path)]) == 2

    assert "next: name an empty or a new folder" in capsys.readouterr().out
    assert (tmp_path / "thesis.txt").exists()
