"""The chain: whatever is changed, removed, moved or cut off, ``verify`` names the first record that is not in order."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.audit import filled, opened, records

from agent.audit.chain import Broken, canonical, entry, read_export, sha256
from agent.audit.log import AuditLog

COUNT, FILES = 14, 4  # records, and the files they are in
FIXTURES = Path(__file__).parent / "fixtures"


def bad(directory: Path) -> int:
    """The first record that is not in order, 0 for none; as the daemon says it, after a restart too."""
    return opened(directory).verify()[1]


def places(directory: Path) -> list[tuple[Path, int, int]]:
    """Of each record: its file, the number of its line there, and its own number."""
    return [
        (path, number, json.loads(line)["record"]["seq"])
        for path in sorted(directory.glob("*.jsonl"))
        for number, line in enumerate(path.read_bytes().splitlines())
        if number
    ]


def edit(path: Path, change: Callable[[list[bytes]], object]) -> None:
    """Changes the lines of a file."""
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("pristine")
    assert filled(directory, COUNT, segments=64).count == COUNT
    assert len(list(directory.glob("*.jsonl"))) == FILES
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def log(pristine: dict[str, bytes], tmp_path: Path) -> Path:
    for name, data in pristine.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def put(pristine: dict[str, bytes], directory: Path) -> list[tuple[Path, int, int]]:
    for path in directory.iterdir():
        path.unlink()
    for name, data in pristine.items():
        (directory / name).write_bytes(data)
    return places(directory)


def test_an_untouched_log_is_in_order(log: Path) -> None:
    assert bad(log) == 0
    assert [each["seq"] for each in records(log)] == list(range(1, COUNT + 1))


@pytest.mark.req("C16", "N06")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_names_its_record(pristine: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    path, number, seq = data.draw(st.sampled_from(put(pristine, tmp_path)))

    def flip(lines: list[bytes]) -> None:
        line = bytearray(lines[number])
        at = data.draw(st.integers(0, len(line) - 2))
        line[at] = data.draw(st.integers(0, 255).filter(lambda value: value != line[at]))
        lines[number] = bytes(line)

    edit(path, flip)
    assert bad(tmp_path) == seq


@pytest.mark.req("C16", "N06")
@pytest.mark.parametrize("index", range(COUNT))
@pytest.mark.parametrize("how", ["delete", "truncate", "swap", "duplicate", "half"])
def test_any_record_that_is_removed_moved_or_cut_off_is_named(log: Path, index: int, how: str) -> None:
    path, number, seq = places(log)[index]

    def change(lines: list[bytes]) -> None:
        if how == "delete":
            del lines[number]
        elif how == "truncate":
            del lines[number:]
        elif how == "half":
            lines[number:] = [lines[number][:150]]
        elif how == "swap" and number + 1 < len(lines):
            lines[number], lines[number + 1] = lines[number + 1], lines[number]
        else:
            lines.insert(number, lines[number])

    edit(path, change)
    twice = (
        path.read_bytes().count(b'"seq":%d,' % seq) == 2
    )  # also the last of a file, which has none to be swapped with
    assert bad(log) == (seq + 1 if twice else seq)


@pytest.mark.parametrize("segment", range(FILES))
def test_a_file_that_is_removed_is_missed(log: Path, segment: int) -> None:
    path = sorted(log.glob("*.jsonl"))[segment]
    path.unlink()
    assert bad(log) == int(path.stem)


def test_records_that_are_forged_and_hashed_anew_do_not_fit_what_follows(log: Path) -> None:
    path, number, seq = places(log)[1]

    def forge(lines: list[bytes]) -> None:
        record = canonical({**json.loads(lines[number])["record"], "subject": "never"})
        before = json.loads(record)["prev"]
        digest = hashlib.sha256(before.encode() + record).hexdigest()
        lines[number] = b'{"hash":"%s","record":%s}\n' % (digest.encode(), record)

    edit(path, forge)
    assert bad(log) == seq + 1, "the record itself is whole, but another one than the next was made after"


def exported(log: AuditLog) -> list[bytes]:
    return list(log.export())


def export_breaks_at(lines: list[bytes]) -> int:
    try:
        list(read_export(lines))
    except Broken as broken:
        return broken.seq
    return 0


@pytest.mark.req("C16")
def test_every_change_of_an_export_is_named(log: Path) -> None:
    lines = exported(opened(log))
    assert export_breaks_at(lines) == 0
    for index in range(1, COUNT + 1):
        rest = lines[:index] + lines[index + 1 :]
        assert export_breaks_at(rest) == index
        assert export_breaks_at(lines[:index]) == index
        assert export_breaks_at([*lines[:index], lines[index][:-20], *lines[index + 1 :]]) == index
        assert export_breaks_at([*lines[:index], lines[index], *lines[index:]]) == index + 1
    assert export_breaks_at(lines[:-1]) == COUNT + 1
    assert export_breaks_at([*lines, lines[-1]]) == COUNT + 1
    assert export_breaks_at(lines[1:]) == 1
    assert export_breaks_at([]) == 1


def test_a_damaged_log_can_be_exported_and_shows_the_damage(log: Path) -> None:
    path, number, seq = places(log)[5]
    edit(path, lambda lines: lines.__setitem__(number, lines[number].replace(b"version", b"Version")))
    assert export_breaks_at(exported(opened(log))) == seq
    assert len(exported(opened(log))) == COUNT + 2


@pytest.mark.parametrize("junk", [b"", b"\n", b"null\n", b"[]\n", b"\xff\n", b'{"hash":"","record":{}}\n', b"{" * 9000])
def test_no_line_of_junk_is_taken_for_a_record(junk: bytes) -> None:
    assert entry(junk) is None
    assert export_breaks_at([junk]) == 1


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.jsonl")), ids=lambda path: path.name)
def test_logs_of_earlier_versions_are_read_for_ever(path: Path) -> None:
    found = [each.values for _, each in read_export(path.read_bytes().splitlines(keepends=True))]
    assert [each["seq"] for each in found] == list(range(found[0]["seq"], found[0]["seq"] + len(found)))
    assert {"seq", "boot_id", "mono_us", "wall", "wall_quality", "event", "subject", "data", "prev"} <= set(found[0])


def test_there_is_a_log_of_the_first_schema() -> None:
    assert json.loads((FIXTURES / "schema-1.jsonl").read_bytes().splitlines()[0])["audit"] == 1


def test_a_digest_costs_no_search_for_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a log takes one for each record, and Python looks through its whole path for a module that is not there."""
    searched: list[str] = []

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            searched.append(name)

    assert sha256(b"abc") == hashlib.sha256(b"abc").hexdigest()
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    sha256(b"abc")
    assert searched == []
