"""A real device, a real server and an operator for tests: ``agent.demo.world`` with small images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.demo.factory import BOOTNAMES, Timing
from agent.demo.news import Event
from agent.demo.world import World


@contextmanager
def stage(
    directory: Path,
    *,
    size: int = 8,
    timing: Timing | None = None,
    overrides: Mapping[str, object] | None = None,
    bus: bool = False,
    bootnames: Sequence[str] = BOOTNAMES,
    listen: Callable[[Event], None] = lambda _: None,
) -> Iterator[World]:
    """A world whose server runs and whose device runs 1.0.0 in slot A, slot B being empty; the power is off at the end.

    Args:
        directory: a folder that does not exist yet is made in it.
        size: MiB of a root file system; a checkpoint is written every 8 MiB.
        timing: the device's patience.
        overrides: of settings, for example ``{"update.attempts": 2}``.
        bus: gives the device a message bus of its own, see ``World.bus``.
        bootnames: of its slots, see ``World``.
        listen: told what happens.
    """
    home = directory / "world"
    with World(
        home, size=size, timing=timing, overrides=overrides, bus=bus, bootnames=bootnames, listen=listen
    ) as world:
        yield world


def deployed(world: World, version: str, **how: object) -> str:
    """Publishes a version (see ``World.publish``) and gives it to the device; returns the action's id."""
    return world.deploy(world.publish(version, **how))  # type: ignore[arg-type]  # passed through


def installed(world: World, version: str) -> None:
    """Updates the device to a version, and makes sure that it is confirmed."""
    action_id = deployed(world, version)
    status = world.wait_ended(action_id)
    assert status == "FINISHED", world.messages(action_id)
    assert world.running.version == version
    world.wait_idle()
