"""The manifest of a bundle as RAUC's ``InspectBundle`` returns it: a dictionary of variants. Pure.

The shapes are those of ``r_manifest_to_dict`` in RAUC's ``src/manifest.c``, where a dictionary or list in the outer dictionary
is a variant in a variant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agent.errors import EnvironmentFault, from_explained

Variant = Callable[[str, object], Any]
"""Makes a value of a signature: ``GLib.Variant``."""


def inspection(output: str) -> Mapping[str, Any]:
    """The manifest in what the inspector has printed.

    Raises:
        RemoteError: the bundle was refused, with the inspector's code.
        EnvironmentFault: ``rauc.inspect-failed``.
    """
    try:
        found = json.loads(output)
    except ValueError:
        found = None
    if isinstance(found, dict) and isinstance(found.get("error"), dict):
        raise from_explained(found["error"])
    if not isinstance(found, dict) or not isinstance(found.get("manifest"), dict):
        raise EnvironmentFault("rauc.inspect-failed", "the bundle could not be inspected")
    manifest: dict[str, Any] = found["manifest"]
    return manifest


def names(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """What ``Info`` returns: compatible and version."""
    update = manifest["update"]
    return str(update.get("compatible", "")), str(update.get("version", ""))


def as_variants(manifest: Mapping[str, Any], variant: Variant) -> dict[str, Any]:
    """The dictionary that ``InspectBundle`` returns.

    Args:
        manifest: see ``agent.bundle.facts.manifest_facts``.
        variant: makes the values.
    """
    found = {"manifest-hash": variant("s", manifest["manifest-hash"])}
    for group in ("update", "bundle", "hooks", "handler"):
        if group in manifest:
            found[group] = variant("v", variant("a{sv}", _group(manifest[group], variant)))
    images = [{key: _value(value, variant) for key, value in image.items()} for image in manifest["images"]]
    found["images"] = variant("v", variant("aa{sv}", images))
    found["meta"] = variant("v", variant("a{sa{ss}}", manifest["meta"]))
    return found


def _group(values: Mapping[str, Any], variant: Variant) -> dict[str, Any]:
    """In a group a list is wrapped once more."""
    plain = {key: _value(value, variant) for key, value in values.items()}
    return {key: variant("v", value) if isinstance(values[key], list) else value for key, value in plain.items()}


def _value(value: object, variant: Variant) -> Any:  # noqa: ANN401 - a GLib.Variant
    if isinstance(value, list):
        return variant("as", value)
    return variant("t" if isinstance(value, int) else "s", value)
