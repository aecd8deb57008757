"""Whether the programs of a bundle may run: the daemon's leave, which also tells what they are told about the device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.bundle.manifest import Manifest
from agent.errors import BundleError, ConfigError
from agent.wire import Frame, WireError
from slots.model import Slot


@dataclass(frozen=True, slots=True)
class Facts:
    """What programs are told about this device.

    Attributes:
        config: path of the most important configuration file.
        compatible: of the device.
        variant: of the device; empty when it has none.
        version: of the running system.
        bootname: of the running slot.
        transaction: names this deployment, and no other.
        prefix: directory of what is unpacked and mounted for programs.
        slots: all there are, their devices as real paths.
        targets: names of the slots that are updated.
    """

    config: str
    compatible: str
    variant: str
    version: str
    bootname: str
    transaction: str
    prefix: Path
    slots: tuple[Slot, ...]
    targets: tuple[str, ...]

    def slot(self, name: str) -> Slot | None:
        """The slot with this name."""
        return next((slot for slot in self.slots if slot.name == name), None)


def wanted(manifest: Manifest) -> list[str]:
    """What a bundle wants to run, as the sections of its manifest say it; empty for an ordinary bundle."""
    found = [f"[{image.group}] hooks={';'.join(image.hooks)}" for image in manifest.images if image.hooks]
    if manifest.hooks:
        found.append(f"[hooks] hooks={';'.join(manifest.hooks)}")
    if manifest.handler_filename:
        found.append(f"[handler] filename={manifest.handler_filename}")
    return found


@dataclass(frozen=True, slots=True)
class Permission:
    """The daemon's leave to run programs, and what they are told.

    Attributes:
        timeout: seconds for each program.
        facts: about this device.
    """

    timeout: int
    facts: Facts


def permission(manifest: Manifest, frame: Frame, restriction: str) -> Permission | None:
    """Decides whether the bundle may be used at all; None when it wants to run nothing.

    Args:
        manifest: of a verified bundle.
        frame: the daemon's request.
        restriction: what the installer could not give up; programs must not run with a network.

    Raises:
        BundleError: ``bundle.hooks-unsupported``.
        ConfigError: ``hook.not-confined``.
    """
    programs = wanted(manifest)
    if not programs:
        return None
    given = frame.header.get("programs")
    if not isinstance(given, dict):
        raise BundleError(
            "bundle.hooks-unsupported", "the bundle wants to run programs of its own, which is not allowed here",
            details=f"found {', '.join(programs)}"[:300],
            resolution="build a bundle without hooks and handlers, or allow them for every bundle that your keyring "
            "trusts: bundle.allow-hooks = true",
        )  # fmt: skip
    if restriction:
        raise not_confined(restriction)
    told = Frame(given)
    return Permission(told.number("timeout"), _facts(told))


def _facts(told: Frame) -> Facts:
    slots, targets = told.header.get("slots"), told.header.get("targets")
    if not isinstance(slots, list) or not isinstance(targets, list):
        raise WireError("ipc.protocol", "the daemon did not say which slots there are")
    return Facts(
        config=told.text("config"),
        compatible=told.text("compatible"),
        variant=told.text("variant"),
        version=told.text("version"),
        bootname=told.text("bootname"),
        transaction=told.text("transaction"),
        prefix=Path(told.text("directory")),
        slots=tuple(slot_of(entry) for entry in slots),
        targets=tuple(str(name) for name in targets),
    )


def slot_of(entry: object) -> Slot:
    """A slot as the daemon describes it."""
    item = Frame(entry if isinstance(entry, dict) else {})
    words = item.header.get("extra_mkfs_opts", [])
    return Slot(
        name=item.text("name"), slot_class=item.text("class"), index=item.number("index"), device=item.text("device"),
        type=item.text("type"), bootname=item.text("bootname", "") or None, parent=item.text("parent", "") or None,
        readonly=item.header.get("readonly", False) is not False,
        resize=item.header.get("resize") is True, allow_devices=item.header.get("allow_devices") is True,
        install_same=item.header.get("install_same") is not False,
        extra_mkfs_opts=tuple(str(word) for word in words) if isinstance(words, list) else (),
        extra_mount_opts=item.text("extra_mount_opts", ""), region_start=item.number("region_start", 0),
        region_size=item.number("region_size", 0), size_limit=item.number("size_limit", 0),
    )  # fmt: skip


def not_confined(details: str) -> ConfigError:
    """The refusal to run a program without walls around it."""
    return ConfigError(
        "hook.not-confined", "programs of the bundle cannot be kept apart from the system", details=details,
        resolution="run the agent as root, with the drop-in ota-agent-hooks.conf for its installer (docs/hooks.md)",
    )  # fmt: skip
