"""The root file systems of the demo."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from agent.demo import images
from agent.demo.bootsim import version_of
from agent.demo.images import RootFs, make_image, read_file


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one = make_image(tmp_path / "one", RootFs("1.2.3", 8))
    two = make_image(tmp_path / "folder" / "two", RootFs("1.2.3", 8))

    assert digest(one) == digest(two)
    assert one.stat().st_size == 8 * images.MIB


def test_versions_differ_in_bytes_and_in_what_they_say(tmp_path: Path) -> None:
    one = make_image(tmp_path / "one", RootFs("1.0.0", 8))
    two = make_image(tmp_path / "two", RootFs("1.0.1", 8, sick="it's broken"))

    assert digest(one) != digest(two)
    assert version_of(read_file(one, images.OS_RELEASE)) == "1.0.0"
    assert version_of(read_file(two, images.OS_RELEASE)) == "1.0.1"


def test_an_image_is_a_sound_file_system(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", RootFs("1.0.0", 8))

    subprocess.run(["e2fsck", "-f", "-n", str(image)], check=True, capture_output=True)


@pytest.mark.parametrize(("sick", "status"), [("", 0), ("it's the display", 1)])
def test_the_health_check_of_an_image_is_a_real_program(tmp_path: Path, sick: str, status: int) -> None:
    image = make_image(tmp_path / "image", RootFs("1.0.0", 8, sick=sick))
    script = tmp_path / "health"
    script.write_bytes(read_file(image, images.HEALTH))

    done = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False)

    assert done.returncode == status
    assert done.stderr.strip() == sick


def test_an_unbootable_image_has_no_os_release(tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", RootFs("1.0.0", 8, bootable=False))

    assert images.is_ext4(image)
    assert read_file(image, images.OS_RELEASE) == b""


def test_what_is_no_file_system_holds_no_file(tmp_path: Path) -> None:
    for name, content in (("zeros", bytes(images.MIB)), ("short", b"x"), ("noise", b"\x53\xef" * 4096)):
        (tmp_path / name).write_bytes(content)
        assert read_file(tmp_path / name, images.OS_RELEASE) == b""


def test_an_image_that_is_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 8"):
        make_image(tmp_path / "image", RootFs("1.0.0", 7))
