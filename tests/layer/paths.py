"""Where the layer is."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "meta-ota-agent"
RECIPES = sorted(LAYER.rglob("*.bb"))
RELEASES = ("scarthgap", "wrynose")
MACHINES = ("qemux86-64", "qemuarm64")
