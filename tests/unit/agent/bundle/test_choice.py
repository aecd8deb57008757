"""Promises of the choice among image variants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bundle.choice import choose_images, image_for
from agent.bundle.manifest import Image, Manifest
from agent.errors import PolicyError


def manifest(*groups: str) -> Manifest:
    images = []
    for number, group in enumerate(groups):
        slot_class, _, variant = group.partition(".")
        images.append(Image(slot_class, variant or None, f"{number}.img", "00" * 32, 4096))
    return Manifest("demo", images=tuple(images))


def groups(bundle: Manifest, variant: str) -> list[str]:
    return [image.group.removeprefix("image.") for image in choose_images(bundle, variant)]


@pytest.mark.parametrize("order", [("rootfs", "rootfs.a", "rootfs.b"), ("rootfs.b", "rootfs.a", "rootfs")])
@pytest.mark.parametrize(("variant", "chosen"), [("a", "rootfs.a"), ("b", "rootfs.b"), ("c", "rootfs"), ("", "rootfs")])
def test_the_own_variant_goes_before_the_default_whatever_stands_first(
    order: tuple[str, ...], variant: str, chosen: str
) -> None:
    assert groups(manifest(*order), variant) == [chosen]


def test_each_class_is_chosen_for_by_itself() -> None:
    assert groups(manifest("boot", "rootfs", "rootfs.a", "boot.b"), "a") == ["boot", "rootfs.a"]


@pytest.mark.parametrize("variant", ["", "c"])
def test_a_class_of_which_no_image_is_for_this_device_refuses_the_bundle(variant: str) -> None:
    with pytest.raises(PolicyError) as caught:
        choose_images(manifest("boot", "rootfs.a", "rootfs.b"), variant)
    assert caught.value.code == "bundle.no-variant"
    assert "class rootfs is there for a, b" in caught.value.details
    assert (variant or "no variant") in caught.value.details


names = st.sampled_from(["rootfs", "boot", "app", "rootfs.a", "rootfs.b", "boot.a", "app.c"])


@given(st.lists(names, unique=True), st.sampled_from(["", "a", "b", "c"]))
def test_exactly_one_image_of_each_class_or_a_refusal(offered: list[str], variant: str) -> None:
    bundle = manifest(*offered)
    classes = {name.partition(".")[0] for name in offered}
    complete = all(name in offered or f"{name}.{variant}" in offered for name in classes)
    if not complete:
        with pytest.raises(PolicyError):
            choose_images(bundle, variant)
        return
    chosen = choose_images(bundle, variant)
    assert sorted(image.slot_class for image in chosen) == sorted(classes)
    for image in chosen:
        assert image.variant in (variant, None)
        assert image.variant == variant or f"{image.slot_class}.{variant}" not in offered
        assert image_for(bundle, image.slot_class, variant) == image


@pytest.mark.parametrize(
    ("filename", "kind"),
    [("rootfs.caibx", None), ("rootfs.img.caibx", None), ("rootfs.catar", None), ("rootfs.img", "caidx")],
)
def test_an_image_that_only_casync_could_unpack_is_refused(filename: str, kind: str | None) -> None:
    image = Image("rootfs", None, filename, "00" * 32, 1, kind)
    with pytest.raises(PolicyError) as caught:
        choose_images(Manifest("demo", images=(image,)), "")
    assert caught.value.code == "bundle.install-unsupported"


def test_how_an_image_is_installed_is_left_to_its_install_hook_or_its_type() -> None:
    images = (
        Image("rootfs", None, "rootfs.tar", "00" * 32, 1, hooks=("install",)),
        Image("boot", None, "boot.tar", "00" * 32, 1, "raw"),
    )
    assert choose_images(Manifest("demo", images=images), "") == images
