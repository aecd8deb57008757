"""Looking for bundles where a stranger has put everything that should not be found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.media.search import MAX_BUNDLES, MAX_NAMES, MAX_PATH, open_bundle, search


@contextmanager
def top_of(tree: Path) -> Iterator[int]:
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def found(tree: Path, pattern: str = "*.raucb", depth: int = 2) -> list[str]:
    with top_of(tree) as top:
        return [bundle.path for bundle in search(top, pattern, depth).bundles]


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_bundles_are_found_at_the_top_and_one_level_below(tmp_path: Path) -> None:
    for name in ("b.raucb", "a.RAUCB", "updates/c.raucb", "updates/deep/d.raucb", "photo.jpg", "raucb"):
        put(tmp_path / name)
    assert found(tmp_path) == ["a.RAUCB", "b.raucb", "updates/c.raucb"]
    assert found(tmp_path, depth=1) == ["a.RAUCB", "b.raucb"]
    assert found(tmp_path, depth=3)[-1] == "updates/deep/d.raucb"
    assert found(tmp_path, "gateway-*.raucb") == []


def test_size_and_time_tell_a_file_from_another_even_with_an_impossible_time(tmp_path: Path) -> None:
    os.utime(put(tmp_path / "a.raucb", b"12345"), ns=(0, 1_600_000_000_123_456_789))
    os.utime(put(tmp_path / "b.raucb"), ns=(0, -5_000_000_000))
    with top_of(tmp_path) as top:
        one, two = search(top, "*.raucb", 1).bundles
    assert (one.size, one.mtime) == (5, 1_600_000_000_123_456_789)
    assert two.mtime >= 0


@pytest.mark.req("T23")
def test_nothing_but_plain_files_with_plain_names_is_found(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside/secret.raucb")
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mkfifo(tree / "pipe.raucb")
    (tree / "link.raucb").symlink_to(outside)
    (tree / "up").symlink_to("..")
    (tree / "loop").symlink_to(".")
    (tree / "folder.raucb").mkdir()
    put(tree / "empty.raucb", b"")
    put(tree / "._note.raucb")
    put(tree / ".Trashes/t.raucb")
    put(tree / "line\nbreak.raucb")
    put(tree / "terminal\x1b[2J.raucb")
    put(tree / os.fsdecode(b"no-text-\xff.raucb"))
    put(tree / "right\u202eto-left.raucb")
    assert found(tree) == []
    put(tree / "ü ñ 試.raucb")
    assert found(tree) == ["ü ñ 試.raucb"]


def test_a_medium_full_of_names_is_left_after_so_many(tmp_path: Path) -> None:
    for number in range(MAX_NAMES + 1):
        os.mknod(tmp_path / f"{number}")
    with top_of(tmp_path) as top:
        result = search(top, "*.raucb", 2)
    assert (result.bundles, result.complete) == ([], False)


def test_only_so_many_bundles_are_taken(tmp_path: Path) -> None:
    for number in range(MAX_BUNDLES + 3):
        put(tmp_path / f"{number}.raucb")
    with top_of(tmp_path) as top:
        result = search(top, "*.raucb", 2)
    assert (len(result.bundles), result.complete) == (MAX_BUNDLES, False)


def test_a_path_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    put(tmp_path / ("d" * 200) / ("e" * 200) / ("f" * 200 + ".raucb"))
    assert MAX_PATH < 600
    assert found(tmp_path, depth=3) == []


def test_a_file_is_opened_for_reading_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path / "a/b.raucb", b"bundle")
    with top_of(tmp_path) as top:
        fd = open_bundle(top, "a/b.raucb")
    try:
        assert os.read(fd, 100) == b"bundle"
        with pytest.raises(OSError):
            os.write(fd, b"x")
    finally:
        os.close(fd)


@pytest.mark.req("T23")
@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.raucb", "/etc/passwd", "link.raucb", "folder/../../outside/secret.raucb", "up/outside/secret.raucb",
        "pipe.raucb", "folder", "", ".", "folder//x.raucb", "missing.raucb", "a\0b",
    ],
)  # fmt: skip
def test_no_path_leads_out_or_to_something_else(tmp_path: Path, path: str) -> None:
    put(tmp_path / "outside/secret.raucb")
    tree = tmp_path / "tree"
    put(tree / "folder/x.raucb")
    os.mkfifo(tree / "pipe.raucb")
    (tree / "link.raucb").symlink_to("folder/x.raucb")
    (tree / "up").symlink_to("..")
    before = len(os.listdir("/proc/self/fd"))
    with top_of(tree) as top, pytest.raises(OSError):
        open_bundle(top, path)
    assert len(os.listdir("/proc/self/fd")) == before
