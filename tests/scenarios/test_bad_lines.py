"""A whole device behind a bad line: it gets its update with hardly a byte more than needed, or gives up and says why."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.shelf import Shelf, offer, trust
from support.tunnel import Between, cut_line

from agent.codes import number
from agent.demo.images import MIB
from agent.demo.world import World

LARGE = 120 * MIB


@contextmanager
def behind(
    directory: Path, line: Between, prepare: Callable[[World], None] = lambda _: None, **overrides: Any
) -> Iterator[World]:
    """A device that reaches its server over ``line``, and only so: the server's links are led back to it."""
    settings = {"server.url": line.url, "server.rebase-links": True, "update.retry-delay": 0.05}
    named = {name.replace("__", ".").replace("_", "-"): value for name, value in overrides.items()}
    world = trust(World(directory, size=8, overrides={**settings, **named}))
    line.server = world.server.url
    prepare(world)
    with world:
        world.wait_settled()
        yield world


def spent(world: World) -> dict[str, Any]:
    document = json.loads((world.directory / "state" / "spent.json").read_text())
    assert isinstance(document, dict)
    return document


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.req("S09")
def test_a_large_bundle_over_a_line_that_is_cut_again_and_again_costs_five_percent_more_at_most(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    image = shelf.image("2.0.0").read_bytes()
    content = image + os.urandom(LARGE - len(image))  # nothing of the rest can be compressed
    bundle = shelf.bundle("2.0.0", image=content)
    size = bundle.stat().st_size
    assert LARGE - 8 * MIB < size < LARGE + 2 * MIB

    def room(world: World) -> None:
        os.truncate(world.board.slots["B"], LARGE + MIB)

    with cut_line(after=6 * MIB) as line, behind(tmp_path / "world", line, room) as world:
        before = line.down
        action = offer(world, bundle, "2.0.0")
        assert world.wait_ended(action, 150) == "FINISHED", world.messages(action)
        assert world.running.version == "2.0.0"
        assert line.cuts >= 15
        assert line.down - before <= 1.05 * size
        assert spent(world)["bytes"] <= 1.05 * size
        with world.board.slots["B"].open("rb") as slot:
            assert slot.read(LARGE) == content


@pytest.mark.timeout(120)
@pytest.mark.req("T22")
@pytest.mark.parametrize(
    ("budget", "code", "words"),
    [
        ({"server__budget_retries": 3}, "net.budget-retries", "4 times, 3 are allowed"),
        ({"server__budget_time": 1}, "net.budget-time", "1 are allowed"),
    ],
)
def test_a_budget_that_is_used_up_ends_the_update_and_the_server_learns_the_numbers(
    tmp_path: Path, budget: dict[str, Any], code: str, words: str
) -> None:
    bundle = Shelf(tmp_path).bundle("2.0.0")
    with cut_line(after=300_000) as line, behind(tmp_path / "world", line, server__max_rate="500K", **budget) as world:
        action = offer(world, bundle, "2.0.0")
        assert world.wait_ended(action) == "ERROR", (line.cuts, line.down, spent(world), bundle.stat().st_size)
        last = world.history(action)[-1]
        assert last.code == number(code)
        assert words in world.messages(action)
        assert world.running.version == "1.0.0"
        world.wait_idle()


@pytest.mark.timeout(60)
@pytest.mark.req("T22")
def test_a_server_that_sends_a_byte_per_second_is_abandoned(tmp_path: Path) -> None:
    bundle = Shelf(tmp_path).bundle("2.0.0")
    limits = {"server__slow_time": 0.2, "server__slow_rate": 1000, "update__attempts": 1}
    with cut_line(after=1 << 40) as line, behind(tmp_path / "world", line, **limits) as world:
        world.server.faults.throttle(1)
        action = offer(world, bundle, "2.0.0")
        assert world.wait_ended(action, 50) == "ERROR"
        assert world.history(action)[-1].code == number("net.too-slow")
        assert len(world.server.requests("/artifacts/")) <= 5
