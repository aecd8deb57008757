"""What a program of a bundle is told, in RAUC's environment variables. Pure.

Source: RAUC's ``docs/reference.rst`` ("Custom Handlers (Interface)", "Hooks (Interface)") and, for the exact values,
``src/install.c`` and ``src/update_handler.c``. Where we differ, docs/hooks.md says so.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.bundle.choice import image_for
from agent.bundle.manifest import Image, Manifest
from agent.installer.permission import Facts
from agent.process import ENVIRONMENT
from slots.model import Slot


def for_check(facts: Facts, manifest: Manifest) -> dict[str, str]:
    """For ``install-check``."""
    return {
        **_device(facts),
        "RAUC_MF_COMPATIBLE": manifest.compatible,
        "RAUC_MF_VERSION": manifest.version,
        "RAUC_MF_BUILD": manifest.build,
        **_meta(manifest),
    }


def for_slot(facts: Facts, image: Image, slot: Slot, bundle: Path, chain: Sequence[x509.Certificate]) -> dict[str, str]:
    """For a hook of a slot that is not mounted; a mount point is added by whoever mounts it."""
    parent = facts.slot(slot.parent or "")
    return {
        **_device(facts),
        "RAUC_SLOT_NAME": slot.name,
        "RAUC_SLOT_STATE": "inactive",
        "RAUC_SLOT_CLASS": slot.slot_class,
        "RAUC_SLOT_TYPE": slot.type,
        "RAUC_SLOT_DEVICE": slot.device,
        "RAUC_SLOT_BOOTNAME": (parent or slot).bootname or "",
        "RAUC_SLOT_PARENT": slot.parent or "",
        "RAUC_IMAGE_NAME": str(bundle / image.filename) if image.filename else "",
        "RAUC_IMAGE_SIZE": str(image.size),
        "RAUC_IMAGE_DIGEST": image.sha256,
        "RAUC_IMAGE_CLASS": image.slot_class,
        "RAUC_BUNDLE_MOUNT_POINT": str(bundle),
        "RAUC_BUNDLE_SPKI_HASHES": " ".join(_spki_hash(each) for each in chain),
    }


def for_handler(facts: Facts, manifest: Manifest, bundle: Path) -> dict[str, str]:
    """For the handler that takes the place of the whole installation."""
    numbered = dict(enumerate(facts.slots, 1))
    told = {
        **_device(facts),
        "RAUC_SYSTEM_CONFIG": facts.config,
        "RAUC_CURRENT_BOOTNAME": facts.bootname,
        "RAUC_TRANSACTION_ID": str(uuid.uuid5(uuid.NAMESPACE_OID, facts.transaction)),
        "RAUC_BUNDLE_MOUNT_POINT": str(bundle),
        "RAUC_UPDATE_SOURCE": str(bundle),
        "RAUC_SLOTS": " ".join(str(number) for number in numbered),
        "RAUC_TARGET_SLOTS": " ".join(str(n) for n, slot in numbered.items() if slot.name in facts.targets),
        **_meta(manifest),
    }
    for number, slot in numbered.items():
        told |= {
            f"RAUC_SLOT_NAME_{number}": slot.name,
            f"RAUC_SLOT_CLASS_{number}": slot.slot_class,
            f"RAUC_SLOT_TYPE_{number}": slot.type,
            f"RAUC_SLOT_DEVICE_{number}": slot.device,
            f"RAUC_SLOT_BOOTNAME_{number}": slot.bootname or "",
            f"RAUC_SLOT_PARENT_{number}": slot.parent or "",
        }
        image = image_for(manifest, slot.slot_class, facts.variant) if slot.name in facts.targets else None
        if image is not None:
            told |= {
                f"RAUC_IMAGE_NAME_{number}": image.filename,
                f"RAUC_IMAGE_DIGEST_{number}": image.sha256,
                f"RAUC_IMAGE_CLASS_{number}": image.slot_class,
            }
    return told


def _device(facts: Facts) -> dict[str, str]:
    return {
        **ENVIRONMENT,
        "RAUC_SYSTEM_COMPATIBLE": facts.compatible,
        "RAUC_SYSTEM_VARIANT": facts.variant,
        "RAUC_SYSTEM_VERSION": facts.version,
        "RAUC_MOUNT_PREFIX": str(facts.prefix),
    }


def _meta(manifest: Manifest) -> Mapping[str, str]:
    return {
        f"RAUC_META_{_upper(label)}_{_upper(key)}": value
        for label, pairs in manifest.meta.items()
        for key, value in pairs.items()
    }


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def _spki_hash(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).digest().hex(":").upper()
