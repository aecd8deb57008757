"""What only several keys together can tell: what RAUC refuses, its defaults, and slots that have no place here. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.config_resolve import is_slot
from agent.migration.outcome import Ask, Facts, Outcome, Put
from agent.migration.source import Source
from agent.migration.updater_table import uses_tls
from agent.migration.values import path
from slots.model import DISK_TYPES, REGION_TYPES

_VARIANTS = ("variant-name", "variant-file", "variant-dtb")
_WAYS = ("auth_token", "gateway_token", "ssl_key")  # of proving who one is


def refusals(facts: Facts) -> Iterator[str]:
    """Why RAUC or rauc-hawkbit-updater would refuse the files as a whole; one line each."""
    rauc = facts.rauc
    for key in ("compatible", "bootloader"):
        if not rauc.value("system", key):
            yield f"{rauc.name}: [system] {key}: expected a value, got nothing"
    if facts.bootloader == "custom" and not rauc.value("handlers", "bootloader-custom-backend"):
        yield f"{rauc.name}: [handlers] bootloader-custom-backend: expected a program, because bootloader=custom, got nothing"
    variants = [key for key in _VARIANTS if rauc.value("system", key) not in ("", "false", "0")]
    if len(variants) > 1:
        yield f"{rauc.name}: [system] {variants[0]}: expected one of {', '.join(_VARIANTS)}, got {' and '.join(variants)}"
    yield from _of_slots(rauc)
    if "polling" in rauc.sections and not rauc.value("polling", "url"):
        yield f"{rauc.name}:{rauc.lines['polling']}: [polling] url: expected an address, got nothing"
    if facts.updater is not None:
        yield from _of_the_updater(facts, facts.updater)


def _of_slots(rauc: Source) -> Iterator[str]:
    names: dict[str, str] = {}
    for section, keys in rauc.sections.items():
        if section.split(".")[0] != "slot":
            continue
        place = f"{rauc.name}:{rauc.lines[section]}: [{section}]"
        if not all(section.split(".")) or section.count(".") != 2:
            yield f"{place}: expected [slot.CLASS.INDEX]"
        if "device" not in keys:
            yield f"{place} device: expected a path, got nothing"
        if rauc.value(section, "type") in REGION_TYPES:
            missing = [key for key in ("region-start", "region-size") if key not in keys]
            yield from (f"{place} {key}: expected a number of bytes, got nothing" for key in missing)
        bootname = rauc.value(section, "bootname")
        if bootname and names.setdefault(bootname, section) != section:
            yield f"{keys['bootname'].place}: [{section}] bootname: expected another than that of [{names[bootname]}]"


def _of_the_updater(facts: Facts, updater: Source) -> Iterator[str]:
    for key in ("hawkbit_server", "target_name"):
        if not updater.value("client", key):
            yield f"{updater.name}: [client] {key}: expected a value, got nothing"
    ways = [key for key in _WAYS if updater.value("client", key) and (key != "ssl_key" or uses_tls(facts))]
    if len(ways) != 1:
        yield f"{updater.name}: [client]: expected exactly one of {', '.join(_WAYS)}, got {' and '.join(ways) or 'none'}"
    if uses_tls(facts) and bool(updater.value("client", "ssl_key")) != bool(updater.value("client", "ssl_cert")):
        yield f"{updater.name}: [client]: expected ssl_key and ssl_cert together, got one of them"


def defaults(facts: Facts) -> Iterator[Outcome]:
    """Settings for what RAUC or rauc-hawkbit-updater do when nothing is said, where we would do something else."""
    rauc = facts.rauc
    yield from _state(rauc)
    if not rauc.value("keyring", "check-purpose"):
        yield Put("keyring", "check-purpose", "smimesign", "RAUC's default; ours would be codesign")
    if facts.bootloader == "grub":
        for key in ("boot-attempts", "boot-attempts-primary"):
            yield Put("bootloader", key, 1, "RAUC's grub.cfg boots once; more with our boot script")
    asked = (facts.updater and facts.updater.value("client", "post_update_reboot")) or rauc.value(
        "polling", "reboot-criteria"
    )
    if not asked:
        why = "nobody restarted the device so far but people or programs of yours; with true the agent does"
        yield Put("update", "reboot", False, why)
    if "polling" in rauc.sections and not rauc.value("polling", "install-criteria"):
        yield Put("policy", "approval", "ask-install", "without install-criteria somebody had to agree")


def _state(rauc: Source) -> Iterator[Outcome]:
    directory, file = rauc.value("system", "data-directory"), rauc.value("system", "statusfile", "per-slot")
    if directory:
        shared, why = Path(path(directory, rauc.base)), "data-directory"
    elif file != "per-slot":
        shared, why = Path(path(file, rauc.base)).parent, "where statusfile was"
    else:
        yield Ask(
            "RAUC kept its status in the slots themselves: set system.state-dir to a directory on a file system that all "
            "slots share"
        )
        return
    yield Put(
        "system",
        "state-dir",
        str(shared / "ota-agent"),
        f"in {why}; needs ReadWritePaths= in two units, see systemd.md",
    )


def misfit(section: str, rauc: Source) -> str:
    """Why a slot of RAUC's cannot be a slot here as it is; empty if it can."""
    if not is_slot(section):
        return "slots are named [slot.CLASS.INDEX] here, with an index from 0 to 99: rename it, and its class in the bundles"
    alone = not rauc.value(section, "bootname") and not rauc.value(section, "parent")
    if alone and rauc.value(section, "type", "raw") not in DISK_TYPES:
        return (
            "a slot needs a bootname or a parent here: make it one of each group, or write it from a program of the new "
            "system"
        )
    return ""


def lonely_root(section: str, rauc: Source) -> bool:
    """Whether a root slot is the only one of its class beside others: perhaps a rescue system."""
    roots = [name for name in rauc.sections if name.startswith("slot.") and rauc.value(name, "bootname")]
    of_class = [name for name in roots if name.split(".")[1] == section.split(".")[1]]
    return section in roots and of_class == [section] and len(roots) > 1
