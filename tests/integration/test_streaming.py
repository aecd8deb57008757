"""A bundle on a server goes through the fetcher and the installer into a slot: what is asked for, and what is left behind."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bundles import make_bundle, some_image
from support.disks import mounted
from support.installing import MIB, Chain, chain, error_code
from support.ranges import RangeServer, range_server
from support.server import Running, running_server

from agent.demo.server_faults import Fault

IMAGE = random.Random(1).randbytes(12 * MIB) + some_image(8 * MIB)
OPENINGS = 6  # requests before the content: three for the inspection, three for the installation


def ranges(running: Running) -> list[tuple[int, int]]:
    """First and last offset of each request for the bundle."""
    found = [
        re.fullmatch(r"bytes=(\d+)-(\d+)", seen.headers["range"]) for seen in running.server.requests("/artifacts/")
    ]
    return [(int(each[1]), int(each[2])) for each in found if each]


def volume(asked: list[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in asked)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), image=IMAGE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("plain"), image=IMAGE[: 4 * MIB], format="plain")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_server(tmp_path) as server:
        yield server


@pytest.fixture
def ends(tmp_path: Path, running: Running) -> Iterator[Chain]:
    with chain(tmp_path, running) as both:
        yield both


@pytest.mark.req("T16")
@pytest.mark.parametrize(("size", "form"), [(1 * MIB, "verity"), (20 * MIB, "verity"), (20 * MIB, "plain")])
def test_a_bundle_of_a_stranger_costs_one_small_request(
    ends: Chain, running: Running, tmp_path: Path, size: int, form: str
) -> None:
    path = make_bundle(tmp_path, image=IMAGE[:size], signer="other", format=form)
    _, url = running.offer(path)
    assert error_code(ends.ask("inspect", url, path.stat().st_size)).startswith("bundle.")
    asked = ranges(running)
    assert len(asked) == 1
    assert volume(asked) <= 16 * 1024


def test_opening_a_bundle_costs_three_small_requests_and_its_content_one(
    ends: Chain, running: Running, bundle: Path
) -> None:
    size = bundle.stat().st_size
    _, url = running.offer(bundle)
    assert ends.ask("inspect", url, size).op == "inspected"
    opening = ranges(running)
    tree = size // 128  # 32 bytes of digest for 4096 of payload
    assert len(opening) == 3
    assert volume(opening) <= 16 * 1024 + 128 * 1024 + 4096 + tree + 8192


def test_what_was_installed_was_asked_for_once_and_in_order(ends: Chain, running: Running, bundle: Path) -> None:
    size = bundle.stat().st_size
    _, url = running.offer(bundle)
    assert ends.install(url, size).op == "installed"
    assert ends.slot.read_bytes()[: len(IMAGE)] == IMAGE
    again = ranges(running)[3:]  # the installation verifies for itself what the inspection had seen
    assert len(again) == 4
    assert volume(again) <= size + 200_000
    assert len({seen.headers.get("connection", "") for seen in running.server.requests("/artifacts/")}) == 1


def test_of_a_bundle_that_offers_an_adaptive_update_all_but_the_index_is_fetched(
    ends: Chain, running: Running, tmp_path: Path
) -> None:
    ends.slot.write_bytes(IMAGE)
    path = make_bundle(tmp_path, image=IMAGE, extra="adaptive=block-hash-index\n")
    _, url = running.offer(path)
    assert ends.install(url, path.stat().st_size).op == "installed"
    openings, content = ranges(running)[:OPENINGS], ranges(running)[OPENINGS:]
    assert volume(openings) < 2 * MIB
    assert len(content) == 1
    index = len(IMAGE) // 128  # 32 bytes of digest for 4096 of the image, random ones
    assert path.stat().st_size - 2 * index - 256 * 1024 < volume(content) < path.stat().st_size - index


@pytest.mark.req("S09")
def test_nothing_but_the_slot_is_written(ends: Chain, running: Running, bundle: Path, tmp_path: Path) -> None:
    opened: set[str] = set()

    def look() -> None:
        for pid in (ends.installer.pid, ends.fetcher.process.pid):
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                flags = re.search(r"flags:\s+(\d+)", Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text())
                if int(fd.name) > 2 and flags and int(flags[1], 8) & os.O_ACCMODE and fd.is_file():
                    opened.add(os.readlink(fd))

    before = {path.name for path in tmp_path.rglob("*")}
    _, url = running.offer(bundle)
    ends.watch = look  # type: ignore[method-assign]
    assert ends.install(url, bundle.stat().st_size).op == "installed"
    assert opened == {str(ends.slot)}
    assert {path.name for path in tmp_path.rglob("*")} == before


@pytest.mark.req("S09")
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 4000), min_size=1, max_size=6), odd=st.integers(0, 4095))
def test_wherever_the_connection_breaks_the_rest_comes_and_nothing_twice(
    ends: Chain, running: Running, bundle: Path, cuts: list[int], odd: int
) -> None:
    running.server.faults.clear()
    running.server.seen.clear()
    running.server.faults.add(Fault(times=OPENINGS))
    drops = [blocks * 4096 + odd for blocks in cuts]
    for drop in drops:
        running.server.faults.drop(drop)
    _, url = running.offer(bundle)
    assert ends.install(url, bundle.stat().st_size).op == "installed"
    assert ends.slot.read_bytes()[: len(IMAGE)] == IMAGE
    asked = ranges(running)[OPENINGS:]
    struck = [drop for drop, (first, last) in zip(drops, asked, strict=False) if first + drop <= last]
    assert [first for first, _ in asked[1:]] == list(accumulate(struck))
    assert all(each.headers["if-range"].startswith('"') for each in running.server.requests("/artifacts/")[OPENINGS:])
    ends.slot.write_bytes(bytes(24 * MIB))


@pytest.mark.req("S09", "T19")
def test_a_file_that_changes_under_its_address_ends_the_installation(
    ends: Chain, running: Running, bundle: Path
) -> None:
    _, url = running.offer(bundle)
    running.server.faults.add(Fault(times=OPENINGS))
    running.server.faults.drop(5 * MIB)
    running.server.faults.add(Fault(etag="another", times=9))
    assert error_code(ends.install(url, bundle.stat().st_size)) == "net.changed"
    assert not any(ends.slot.read_bytes()[6 * MIB :])


def test_a_server_that_ignores_ranges_is_refused_with_the_reason(ends: Chain, running: Running, bundle: Path) -> None:
    _, url = running.offer(bundle)
    running.server.faults.add(Fault(ignore_range=True, times=9))
    assert error_code(ends.ask("inspect", url, bundle.stat().st_size)) == "net.range-unsupported"


@pytest.mark.req("S09")
@pytest.mark.parametrize("validator", ["", 'ETag: W/"weak"', "Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT"])
def test_a_server_without_a_strong_tag_is_resumed_and_the_blocks_are_checked(
    tmp_path: Path, bundle: Path, validator: str
) -> None:
    with served(bundle, *filter(None, [validator])) as server, chain(tmp_path, origin=server.url) as ends:
        server.cuts = [10**9] * OPENINGS + [3_000_001, 77]
        assert ends.install(server.url, server.size).op == "installed"
        assert ends.slot.read_bytes()[: len(IMAGE)] == IMAGE
        first = server.asked[OPENINGS][0]
        assert [begin for begin, _ in server.asked[OPENINGS + 1 : OPENINGS + 3]] == [
            first + 3_000_001,
            first + 3_000_078,
        ]
        assert not any(server.conditions)


def test_a_date_that_changes_is_a_file_that_changes(tmp_path: Path, bundle: Path) -> None:
    date = "Last-Modified: Wed, 01 Jan 2025 00:00:0{} GMT"
    with served(bundle, date.format(0)) as server, chain(tmp_path, origin=server.url) as ends:
        data = server.read

        def read(offset: int, length: int) -> bytes:
            server.validators = (
                date.format(len(server.asked) // (OPENINGS + 1)),
            )  # another one from the eighth answer on
            return data(offset, length)

        server.read = read
        server.cuts = [10**9] * OPENINGS + [3_000_001]
        assert error_code(ends.install(server.url, server.size)) == "net.changed"


@pytest.mark.req("T16")
def test_a_plain_bundle_is_fetched_once_into_the_spool(
    ends: Chain, running: Running, plain: Path, tmp_path: Path
) -> None:
    size = plain.stat().st_size
    _, url = running.offer(plain)
    assert ends.install(url, size).op == "installed"
    assert ends.slot.read_bytes()[: 4 * MIB] == IMAGE[: 4 * MIB]
    asked = ranges(running)
    assert asked.count((0, size - 1)) == 1
    assert volume(asked) <= size + 2 * 16 * 1024
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["bundle"]


@pytest.mark.req("T16")
def test_a_plain_bundle_over_the_limit_is_refused_before_its_payload(tmp_path: Path, plain: Path) -> None:
    data, size = plain.read_bytes(), 1 << 31
    hole = size - len(data)

    def read(offset: int, length: int) -> bytes:
        return data[offset - hole : offset - hole + length]

    with range_server(size, read) as server, chain(tmp_path, origin=server.url) as ends:
        assert error_code(ends.ask("inspect", server.url, size)) == "bundle.too-large"
        assert volume(server.asked) <= 16 * 1024
        assert not list((tmp_path / "spool").iterdir())


@pytest.mark.root
@pytest.mark.req("T16")
def test_a_plain_bundle_without_room_for_it_is_refused_before_its_payload(tmp_path: Path, plain: Path) -> None:
    (tmp_path / "spool").mkdir()
    with (
        mounted("tmpfs", tmp_path / "spool", "-t", "tmpfs", "-o", "size=16m"),
        served(plain) as server,
        chain(tmp_path, origin=server.url) as ends,
    ):
        assert error_code(ends.ask("inspect", server.url, server.size)) == "storage.no-space"
        assert volume(server.asked) <= 16 * 1024


def served(path: Path, *validators: str) -> Iterator[RangeServer]:
    data = path.read_bytes()
    return range_server(len(data), lambda offset, length: data[offset : offset + length], *validators)
