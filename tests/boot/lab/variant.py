"""Changes to the image of an ext4 file system without mounting it, by debugfs(8)."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath


def change(
    image: Path, *, files: Mapping[str, str], links: Mapping[str, str] | None = None, remove: Sequence[str] = ()
) -> None:
    """Writes files, makes links and removes files; what was there of that name is replaced.

    Args:
        image: of an ext4 file system that is not mounted.
        files: path and text; scripts are executable, everything belongs to root. Paths are without spaces.
        links: path and target of symbolic links.
        remove: paths of files and links, which must be there.

    Raises:
        RuntimeError: debugfs says why.
    """
    links = links or {}
    parents = _parents([*files, *links])
    present = {path for path in (*files, *links, *remove, *parents) if exists(image, path)}
    missing = [path for path in remove if path not in present]
    if missing:
        raise RuntimeError(f"not in the image: {' '.join(missing)}")
    commands = [f"rm /{path}" for path in dict.fromkeys([*files, *links, *remove]) if path in present]
    commands += [f"mkdir /{path}" for path in parents if path not in present]
    commands += [f"symlink /{path} {target}" for path, target in links.items()]
    with tempfile.TemporaryDirectory(prefix="ota-variant-") as directory:
        commands += _written(Path(directory), files)
        script = Path(directory) / "script"
        script.write_text("\n".join(commands) + "\n")
        said = _debugfs("-w", "-f", str(script), str(image)).stderr.splitlines()[1:]  # the first tells the version
    if said:
        raise RuntimeError(f"debugfs: {said}")


def exists(image: Path, path: str) -> bool:
    """Whether an image has a file, a directory or a link of this name."""
    return "Inode:" in _debugfs("-R", f"stat /{path}", str(image)).stdout


def read(image: Path, path: str) -> str:
    """The text of a file in an image."""
    return _debugfs("-R", f"cat /{path}", str(image)).stdout


def _parents(paths: Sequence[str]) -> list[str]:
    """The directories of all paths, those above before those below."""
    above = (parent for path in paths for parent in reversed(PurePosixPath(path).parents))
    return [str(parent) for parent in dict.fromkeys(above) if str(parent) != "."]


def _written(directory: Path, files: Mapping[str, str]) -> Iterator[str]:
    for number, (path, text) in enumerate(files.items()):
        source = directory / str(number)
        source.write_text(text, "utf-8")
        source.chmod(0o755 if text.startswith("#!") else 0o644)
        where = PurePosixPath(path)
        # The name that "write" is given must not be a path.
        yield from (f"cd /{where.parent}", f"write {source} {where.name}", "cd /")
        yield from (f"set_inode_field /{path} {field} 0" for field in ("uid", "gid"))


def _debugfs(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["debugfs", *arguments], capture_output=True, text=True, check=True, timeout=60)
