"""Promises of the root that guests are made of, for both architectures; nothing of it runs here."""

from __future__ import annotations

import struct
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from boot.lab.cache import ROOT
from boot.lab.debs import Arch
from boot.lab.root import root

MACHINES: dict[Arch, int] = {"arm64": 183, "amd64": 62}  # e_machine of elf(5)


@pytest.fixture(scope="module", params=list(MACHINES))
def arch(request: pytest.FixtureRequest) -> Arch:
    return request.param


@pytest.fixture(scope="module")
def tree(arch: Arch) -> Path:
    return root(arch)


def files(tree: Path) -> Iterator[Path]:
    return (path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())


def head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(20)


def test_all_programs_are_for_its_processor(arch: Arch, tree: Path) -> None:
    heads = {path: head_of(path) for path in files(tree)}
    machines = {path: struct.unpack_from("<H", head, 18)[0] for path, head in heads.items() if head[:4] == b"\x7fELF"}
    assert len(machines) > 200
    assert {path for path, machine in machines.items() if machine != MACHINES[arch]} == set()


def test_its_python_packages_are_new_enough_for_the_agent(tree: Path) -> None:
    places = [str(tree / "usr/lib/python3/dist-packages")]
    found = {each.metadata["Name"].lower(): each.version for each in distributions(path=places)}
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    for requirement in map(Requirement, asked):
        version = found.get(requirement.name.lower())
        assert version is not None, requirement
        assert version in requirement.specifier, (requirement, version)


def test_python_need_not_compile_at_a_boot(tree: Path) -> None:
    stale = [path for path in (tree / "usr/lib/python3").rglob("*.py") if not _is_compiled(path)]
    assert stale == []


def test_every_unit_that_is_enabled_is_there(tree: Path) -> None:
    links = [path for path in (tree / "etc/systemd/system").rglob("*") if path.is_symlink()]
    targets = {path.readlink() for path in links} - {Path("/dev/null")}
    assert [target for target in targets if not (tree / str(target).lstrip("/")).exists()] == []


def test_nobody_can_log_in(tree: Path) -> None:
    passwords = [line.split(":")[1] for line in (tree / "etc/shadow").read_text().splitlines()]
    assert passwords
    assert set("".join(passwords)) <= set("*!")


def _is_compiled(path: Path) -> bool:
    """PEP 552: a compiled module is taken if time and size of its source are those that it names."""
    compiled = path.parent / "__pycache__" / f"{path.stem}.cpython-311.pyc"
    if not compiled.exists():
        return False
    flags, time, size = struct.unpack_from("<III", compiled.read_bytes(), 4)
    of = path.stat()
    return (flags, time, size) == (0, int(of.st_mtime), of.st_size)
