"""The disk that loses power: what was flushed stays, everything else may be there or not."""

from __future__ import annotations

from random import Random

import pytest

from crash.content import SECTOR, Content, Source
from crash.disk import Disk, Flush, Name, Node, Operation, Resize, State, Unname, Write, fingerprint

OLD, NEW = b"o" * 2 * SECTOR, b"n" * 2 * SECTOR
DRAWS = 400


def disk(*operations: Operation, old: bytes = OLD) -> Disk:
    """A root directory with one file, number 1, after some operations."""
    made = Disk({0: Node(names={"file": 1}), 1: Node(Content.of(old))}, frozenset({0}))
    for operation in operations:
        made.apply(operation)
    return made


def found(of: Disk) -> set[tuple[tuple[str, bytes], ...]]:
    """Everything that some hundred power cuts leave behind."""
    states = [of.survivors(Random(seed)) for seed in range(DRAWS)]
    return {tuple((path, content.data()) for path, content in sorted(state.items())) for state in states}


def files(**data: bytes) -> tuple[tuple[str, bytes], ...]:
    return tuple(sorted(data.items()))


def test_each_sector_of_a_write_survives_or_not() -> None:
    halves = {OLD[:SECTOR], NEW[:SECTOR]}
    assert found(disk(Write(1, Source(0, NEW)))) == {files(file=one + two) for one in halves for two in halves}


def test_what_was_flushed_stays() -> None:
    assert found(disk(Write(1, Source(0, NEW)), Flush(1))) == {files(file=NEW)}


def test_a_write_that_returned_after_the_flush_began_is_not_covered_by_it() -> None:
    early, late = Write(1, Source(0, NEW[:SECTOR]), ended=1.0), Write(1, Source(SECTOR, NEW[:SECTOR]), ended=3.0)
    left = found(disk(early, late, Flush(1, began=2.0)))
    assert left == {files(file=NEW), files(file=NEW[:SECTOR] + OLD[:SECTOR])}


def test_later_writes_may_survive_without_earlier_ones() -> None:
    first, second = Write(1, Source(0, b"1" * SECTOR)), Write(1, Source(SECTOR, b"2" * SECTOR))
    assert files(file=OLD[:SECTOR] + b"2" * SECTOR) in found(disk(first, second))


def replaced(*flushes: Flush) -> Disk:
    """A document replaced as the store does it, with some of the flushes."""
    by_file = {flush.file: flush for flush in flushes}
    steps = [
        Name(0, "new", 2), Write(2, Source(0, NEW)), by_file.get(2), Name(0, "file", 2, "new"), by_file.get(0),
    ]  # fmt: skip
    return disk(*(step for step in steps if step is not None))


def test_a_renaming_survives_although_the_data_does_not() -> None:
    left = found(replaced())
    assert files(file=b"") in left, "without a flush the name may survive alone"
    assert any(dict(each)["file"] not in (OLD, NEW) for each in left)


def test_a_document_replaced_with_its_flushes_is_the_old_or_the_new_one() -> None:
    left = found(replaced(Flush(2)))
    assert {dict(each)["file"] for each in left} == {OLD, NEW}
    assert found(replaced(Flush(2), Flush(0))) == {files(file=NEW)}


def test_a_name_that_was_removed_may_come_back() -> None:
    assert found(disk(Unname(0, "file", 1))) == {files(), files(file=OLD)}
    assert found(disk(Unname(0, "file", 1), Flush(0))) == {files()}


def test_a_directory_that_was_never_flushed_may_take_everything_in_it_along() -> None:
    made = Disk({0: Node(), 1: Node()}, frozenset({0, 1}))
    for operation in (Name(0, "state", 1), Name(1, "file", 2), Write(2, Source(0, NEW)), Flush(2), Flush(1)):
        made.apply(operation)
    assert {tuple(made.survivors(Random(seed))) for seed in range(20)} == {(), ("state/file",)}


def test_a_file_that_grew_has_any_size_in_between() -> None:
    sizes = {len(dict(each)["file"]) for each in found(disk(Write(1, Source(len(OLD), NEW))))}
    assert min(sizes) == len(OLD) and max(sizes) == len(OLD) + len(NEW) and len(sizes) > 10


def test_emptying_a_file_is_undone_or_not() -> None:
    assert found(disk(Resize(1, 0))) == {files(file=OLD), files(file=b"")}


@pytest.mark.parametrize("mode", ["nothing", "everything"])
def test_the_extremes_are_exact(mode: str) -> None:
    state = disk(Write(1, Source(0, NEW)), Name(0, "more", 2)).survivors(Random(0), mode)
    assert state["file"].data() == (OLD if mode == "nothing" else NEW)
    assert ("more" in state) == (mode == "everything")


def large(*sources: Source) -> State:
    content = Content(1 << 20)
    for source in sources:
        content = content.written(source, source.offset, source.end)
    return {"slot": content}


def test_fingerprints_are_those_of_bytes_whoever_wrote_them() -> None:
    whole = Source(0, bytes(range(256)) * 1024)
    halves = [Source(at, whole.data[at : at + (1 << 17)]) for at in (0, 1 << 17)]
    assert fingerprint(large(whole)) == fingerprint(large(*halves)) == fingerprint(large(Source(0, b"x" * 999), whole))
    assert fingerprint(large(whole)) != fingerprint(large(halves[0]))
    assert fingerprint(large(Source(SECTOR, b"x" * SECTOR))) != fingerprint(large(Source(0, b"x" * SECTOR)))
    assert fingerprint(large(Source(0, bytes(1 << 17)))) == fingerprint(large()), "zeros are what was there before"
