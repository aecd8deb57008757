"""Whether the server's last word about a device is the truth."""

from __future__ import annotations

from collections.abc import Mapping

from fleet.device import Device
from fleet.operator import Word


def lies(device: Device, said: Word, truth: Mapping[str, str], codes: tuple[str, ...], new: str) -> list[str]:
    """What is wrong; nothing when the server knows the truth.

    Args:
        device: at rest.
        said: the server's picture.
        truth: the one word that is true, by the version that runs.
        codes: one of these reasons must have been told with a failure.
        new: the version of the update.
    """
    running, found = device.board.system.version, device.board.at_rest()
    wanted = truth.get(running)
    if wanted is None:
        found.append(f"version {running} runs")
    # More than once is the truth too: a word whose answer was lost is said again, and hawkBit notes it again.
    if set(said.final) != {wanted} or said.active:
        found.append(
            f"the server heard {said.final or 'nothing'}{', and waits' if said.active else ''}; {wanted} is true"
        )
    if (said.installed == new) != (wanted == "FINISHED"):
        found.append(f"the server believes that {said.installed or 'nothing'} is installed, {running} runs")
    if wanted == "ERROR" and codes and not any(f"[{code}]" in said.messages for code in codes):
        found.append(f"no reason of {codes} was told: {said.messages[-300:]}")
    for resource, result, version, over in device.seen.words:
        if (resource, result) == ("deploymentBase", "closed success") and not (version == new and over):
            found.append(f"success was said while {version} ran{'' if over else ' on trial'}")
    return found
