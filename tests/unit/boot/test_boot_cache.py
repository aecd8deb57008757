"""The cache of parts that boot tests are made of."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from boot.lab.cache import cached


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTA_BOOT_CACHE", str(tmp_path / "cache"))


def test_a_part_is_made_once_for_one_key() -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("x")

    assert cached("part", "key", make) == cached("part", "key", make)
    assert len(made) == 1


def test_another_key_is_another_part() -> None:
    parts = {cached("part", key, Path.mkdir) for key in ("ab", ["a", "b"], ["b", "a"], b"abc")}
    assert len(parts) == 4


def test_nothing_is_left_of_a_part_that_could_not_be_made(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.mkdir()
        (path / "half").write_text("x")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cached("part", "key", fail)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert cached("part", "key", lambda path: path.write_text("whole") and None).read_text() == "whole"


def test_what_a_killed_maker_has_left_is_removed(tmp_path: Path) -> None:
    path = cached("part", "key", Path.mkdir)
    left = path.with_name(f".making-{path.name}-12345678")
    path.rename(left)
    cached("part", "key", Path.mkdir)
    assert not left.exists()


def test_two_that_need_it_at_once_make_it_once() -> None:
    made: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def make(path: Path) -> None:
        made.append(1)
        begun.set()
        go_on.wait(10)
        path.mkdir()

    threads = [threading.Thread(target=cached, args=("part", "key", make)) for _ in range(2)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert made == [1]


def test_those_unused_for_the_longest_time_go() -> None:
    paths = [cached("part", str(number), Path.mkdir) for number in range(3)]
    other = cached("part-of-another", "0", Path.mkdir)
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (1000 - age, 1000 - age))
    os.utime(other, (1, 1))
    newest = cached("part", "new", Path.mkdir, keep=2)
    assert [path.exists() for path in (*paths, newest, other)] == [False, False, True, True, True]
