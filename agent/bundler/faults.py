"""What can go wrong on a build host, where more than one file may find it."""

from __future__ import annotations

from pathlib import Path

from agent.errors import OtaError


class BuildError(OtaError):
    """The content, the manifest, the key or the command line does not make a bundle."""


def exists(target: Path) -> BuildError:
    """A result never replaces a file."""
    return BuildError(
        "build.exists",
        "the file to be written exists already",
        details=str(target),
        resolution="remove it, or choose another name",
    )


def bad_content(details: str, resolution: str = "") -> BuildError:
    """The files do not make a bundle."""
    return BuildError(
        "build.content-invalid",
        "the content does not make a bundle",
        details=details[:500],
        resolution=resolution or "put manifest.raucm and the images that it names into the directory, as regular files",
    )
