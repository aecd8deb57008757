"""One description of the disk: kickstart file, boot script, boot environment and the agent's configuration say the same."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.bundle.manifest import parse_draft
from agent.config import Config, load
from bootloader_env import grub_format, uboot_format
from layer.parsed import Recipe, recipes
from layer.paths import LAYER, MACHINES

sys.path.append(str(LAYER / "lib"))
from ota_layer import bootscript, environment_blocks, layout, settings  # as BitBake finds it


@dataclass(frozen=True)
class Disk:
    """A line ``part`` of the kickstart file for each partition."""

    lines: list[list[str]]

    def options(self, number: int) -> dict[str, str]:
        """The options of a partition, counted from 1."""
        words = self.lines[number - 1]
        return {
            word: (words[place + 1] if place + 1 < len(words) else "")
            for place, word in enumerate(words)
            if word.startswith("--")
        }

    def number(self, label: str) -> int:
        """The place of the partition with this name in the GPT."""
        (found,) = [number for number in range(1, len(self.lines) + 1) if self.options(number)["--part-name"] == label]
        return found


@pytest.fixture(params=MACHINES)
def image(request: pytest.FixtureRequest) -> Recipe:
    return recipes(request.param)["ota-image-minimal"]


@pytest.fixture
def disk(image: Recipe) -> Disk:
    text = (LAYER / "files" / "wic" / image.variables["WKS_FILE"]).read_text()
    while found := re.search(r"\$\{(\w+)\}", text):
        text = text.replace(found[0], image.variables[found[1]])
    return Disk([shlex.split(line) for line in text.splitlines() if line.startswith("part ")])


@pytest.fixture
def described(image: Recipe) -> layout.Layout:
    return layout.read_layout(image.variables.get)


@pytest.fixture
def configured(image: Recipe, tmp_path: Path) -> Config:
    path = tmp_path / "50-layout.toml"
    path.write_text(settings.agent_settings(layout.read_layout(image.variables.get), image.variables.get))
    return load([path], secrets=False)


def board(image: Recipe) -> str:
    get = image.variables.get
    if image.variables["OTA_BOOTLOADER"] == "grub":
        return bootscript.grub_board(layout.read_layout(get), get)
    return bootscript.uboot_settings(layout.read_layout(get), get)


def setting(image: Recipe, name: str) -> str:
    (found,) = re.findall(rf'\b{name}="([^"]*)"', board(image))
    return str(found)


def test_the_agent_writes_to_the_partitions_that_the_disk_has(disk: Disk, configured: Config) -> None:
    labels = [disk.options(number)["--part-name"] for number in (2, 3)]
    assert [slot.device for slot in configured.slots] == [f"partlabel:{label}" for label in labels]


def test_the_boot_script_boots_from_the_partitions_that_the_agent_writes(
    image: Recipe, disk: Disk, described: layout.Layout
) -> None:
    for slot in described.slots:
        number = disk.number(slot.label)
        assert disk.options(number)["--uuid"] == slot.uuid
        assert setting(image, f"ota_args_{slot.bootname}") == f"root=PARTUUID={slot.uuid}"
        if image.variables["OTA_BOOTLOADER"] == "grub":
            assert setting(image, f"ota_device_{slot.bootname}") == f"($ota_disk,gpt{number})"
        else:
            assert int(setting(image, f"ota_part_{slot.bootname}"), 16) == number


def test_the_agent_and_the_boot_script_know_the_same_slots_and_attempts(image: Recipe, configured: Config) -> None:
    assert setting(image, "ota_slots").split() == [slot.bootname for slot in configured.slots]
    assert int(setting(image, "ota_attempts")) == configured.bootloader.boot_attempts


def test_an_initial_ram_disk_is_loaded_from_the_slot_only_where_there_is_one(image: Recipe) -> None:
    assert "initrd" not in board(image)
    assert "ramdisk" not in board(image)
    image = replace(image, variables={**image.variables, "OTA_INITRD_PATH": "/boot/initrd"})
    if image.variables["OTA_BOOTLOADER"] == "grub":
        assert setting(image, "ota_initrd") == "/boot/initrd"
    else:
        (commands,) = re.findall("^setenv ota_boot '(.*)'$", board(image), re.MULTILINE)
        assert "load ${ota_medium}:${ota_part} ${ramdisk_addr_r} /boot/initrd && booti" in commands


def test_only_the_first_slot_has_content_and_is_booted_in_the_factory(
    image: Recipe, disk: Disk, described: layout.Layout
) -> None:
    filled = [number for number in (2, 3) if "rawcopy" in disk.lines[number - 1]]
    assert filled == [disk.number(described.slots[0].label)]
    if image.variables["OTA_BOOTLOADER"] == "grub":
        found = bootscript.grub_variables(described)
        assert {name: value for name, value in found.items() if name.endswith("_OK")} == {"A_OK": "1", "B_OK": "0"}
    else:
        found = bootscript.uboot_variables(described, image.variables.get)
        assert found["BOOT_ORDER"] == "A"
        assert found["BOOT_B_LEFT"] == "0"


def test_slots_have_one_size_and_an_image_may_not_be_larger(
    image: Recipe, disk: Disk, described: layout.Layout
) -> None:
    sizes = {disk.options(disk.number(slot.label))["--fixed-size"] for slot in described.slots}
    assert sizes == {f"{described.slots[0].size // 1024}K"}
    assert int(image.variables["IMAGE_ROOTFS_MAXSIZE"]) * 1024 == described.slots[0].size


def test_the_agent_reads_the_environment_where_the_disk_has_it(image: Recipe, disk: Disk, configured: Config) -> None:
    mount = image.variables["OTA_AB_BOOT_MOUNT"]
    files = [entry.partition(";")[2] for entry in image.words("OTA_AB_BOOT_FILES")]
    assert disk.lines[0][1] == "/boot"
    if configured.bootloader.type == "grub":
        place = str(configured.bootloader.grubenv)
    else:
        (line,) = settings.environment_copies(image.variables.get)
        place = line.split()[0]
    assert place.removeprefix(f"{mount}/") in files


@pytest.mark.parametrize("variable", ["OTA_AB_UUID_B", "OTA_AB_LABEL_B"])
def test_two_partitions_with_one_name_are_refused(image: Recipe, variable: str) -> None:
    values = {**image.variables, variable: image.variables[variable.replace("_B", "_A")]}
    with pytest.raises(ValueError, match="different"):
        layout.read_layout(values.get)


def test_the_environment_of_a_new_device_is_what_the_agents_own_reader_reads(
    image: Recipe, described: layout.Layout
) -> None:
    grub = bootscript.grub_variables(described)
    assert grub_format.variables(grub_format.decode(environment_blocks.grub_block(grub))) == grub
    uboot = bootscript.uboot_variables(described, image.variables.get)
    copy = uboot_format.decode(environment_blocks.uboot_block(uboot, 0x4000), redundant=False)
    assert copy is not None
    assert uboot_format.variables(copy.entries) == uboot


@pytest.mark.parametrize("machine", MACHINES)
def test_the_manifest_of_the_example_bundle_is_one_that_the_agent_accepts(machine: str) -> None:
    from ota_layer import bundle_plan

    recipe = recipes(machine)["ota-bundle-minimal"]
    text = bundle_plan.with_digests(recipe.variables["OTA_BUNDLE_MANIFEST"], {"sbom-sha256": "0" * 64})
    made = parse_draft(text.encode())
    assert made.compatible == recipe.variables["OTA_COMPATIBLE"]
