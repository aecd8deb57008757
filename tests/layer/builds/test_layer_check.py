"""The tests that openembedded-core has for layers: what is in ours, whether all can be built, what it changes in others."""

from __future__ import annotations

import re
import shutil

from layer.oe.lab import Lab
from layer.oe.workspace import Done


def checked(lab: Lab, folder: str, settings: dict[str, str]) -> Done:
    """They are run while our layer is not in use, and add it themselves.

    In a new build directory: BitBake reads no recipe again because a module in lib/ of its layer has changed, and then takes
    the sums that it remembers for a defect ("Basehash mismatch").
    """
    shutil.rmtree(lab.home / folder, ignore_errors=True)
    return lab.workspace("qemux86-64", lab.tree("tree-check"), folder, settings, in_use=False).check_layer()


def test_the_layer_passes_and_changes_no_signature_of_others(lab: Lab) -> None:
    done = checked(lab, "check", {"DISTRO_FEATURES:remove": "ota-agent"})
    assert done.status == 0, done.text[-6000:]
    assert "meta-ota-agent ... PASS" in done.text


def test_where_the_distribution_asks_for_it_grub_is_changed_and_nothing_else(lab: Lab) -> None:
    """And so the same tests find what they are to find."""
    done = checked(lab, "check-asked", {})
    assert done.status != 0
    changed = re.findall(r"^ +(\S+): [0-9a-f]{64} -> [0-9a-f]{64}$", done.text, re.MULTILINE)
    assert set(changed) == {"grub-efi:do_compile"}, done.text[-6000:]
    assert re.findall(r"^INFO: FAIL: (\w+)", done.text, re.MULTILINE) == ["test_signatures"]
