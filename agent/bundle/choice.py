"""Which image of a bundle goes to a class of slots: the rule of RAUC for variants. Pure.

Source: ``r_install_make_plans`` in RAUC's ``src/install.c``.
"""

from __future__ import annotations

from agent.bundle.image_type import image_type
from agent.bundle.manifest import Image, Manifest
from agent.errors import PolicyError

_CASYNC = ("catar", "caidx")  # and whatever ends in caibx: only an index of chunks that lie elsewhere


def choose_images(manifest: Manifest, variant: str) -> tuple[Image, ...]:
    """Chooses exactly one image for each class of slots that the bundle has images for, in the order of the manifest.

    Args:
        manifest: of the bundle.
        variant: of this device; empty when it has none.

    Raises:
        PolicyError: ``bundle.no-variant``: a class has images, and none of them is for this device;
            ``bundle.install-unsupported``: an image is for casync.
    """
    chosen = []
    for slot_class in dict.fromkeys(image.slot_class for image in manifest.images):
        image = image_for(manifest, slot_class, variant)
        if image is None:
            offered = [each.variant or "" for each in manifest.images if each.slot_class == slot_class]
            raise PolicyError(
                "bundle.no-variant", "the bundle has no image for this variant of the device",
                details=f"class {slot_class} is there for {', '.join(offered)}; "[:300]
                + (f"this device is variant {variant!r}" if variant else "this device has no variant"),
                resolution="deploy a bundle with an image for it or one for every variant, or set system.variant-name",
            )  # fmt: skip
        _refuse_casync(image)
        chosen.append(image)
    return tuple(chosen)


def image_for(manifest: Manifest, slot_class: str, variant: str) -> Image | None:
    """The image made for this variant, else the one that is for every variant, else None."""
    images = [image for image in manifest.images if image.slot_class == slot_class]
    own = next((image for image in images if variant and image.variant == variant), None)
    return own or next((image for image in images if image.variant is None), None)


def _refuse_casync(image: Image) -> None:
    kind = image_type(image)
    if "install" not in image.hooks and (
        kind in _CASYNC or kind.endswith("caibx") or image.filename.endswith(".caibx")
    ):
        raise PolicyError(
            "bundle.install-unsupported", "an image of the bundle would have to be unpacked by casync, which is not supported",
            details=f"[{image.group}] {image.filename or 'without a file'}, type {kind}"[:300],
            resolution="put an archive or the image of a whole file system into the bundle, such as rootfs.ext4",
        )  # fmt: skip
