"""The agent in a root file system, as a package installs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from boot.lab import agent_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    for name in ("etc", "usr/bin", "usr/lib/systemd/system"):
        (root / name).mkdir(parents=True)
    (root / f"usr/bin/python3.{sys.version_info.minor}").touch()
    agent_tree.lay_agent(root)
    return root


def test_the_program_is_isolated_and_finds_our_code_in_its_directory_only(tree: Path) -> None:
    lines = (tree / "usr/bin/ota-agent").read_text().splitlines()
    assert lines[0] == "#!/usr/bin/python3 -I"
    assert 'sys.path.insert(0, "/usr/lib/ota-agent")' in lines


def test_it_runs_from_there(tree: Path) -> None:
    home = tree / agent_tree.HOME
    code = f"import sys; sys.path.insert(0, {str(home)!r}); from agent.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-I", "-c", code, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr


def test_every_module_is_compiled(tree: Path) -> None:
    sources = list((tree / agent_tree.HOME).rglob("*.py"))
    assert len(sources) > 100
    assert all(list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc")) for path in sources)


def test_what_is_for_a_checkout_only_is_left_out(tree: Path) -> None:
    assert not (tree / agent_tree.HOME / "agent/demo").exists()


@pytest.mark.parametrize("unit", agent_tree.UNITS)
def test_its_units_are_enabled(tree: Path, unit: str) -> None:
    enabled = [path for path in (tree / "etc/systemd/system").rglob("*") if path.name == unit]
    assert [path.readlink() for path in enabled] == [Path("/usr/lib/systemd/system") / unit]


def test_its_users_are_made(tree: Path) -> None:
    assert "ota-fetcher" in (tree / "etc/passwd").read_text()


def test_what_an_image_depends_on_is_all_that_is_installed() -> None:
    names = {path.name for path in agent_tree.sources()}
    assert {"__main__.py", "ota-agent.service", "install_tree.py", "grub.cfg"} <= names
    assert "server_http.py" not in names
