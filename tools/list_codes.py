"""Finds every error code that the source can raise: string literals that look like one, where errors are made."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\.[a-z][a-z0-9]*(-[a-z0-9]+)*")


def codes_in(root: Path) -> dict[str, set[str]]:
    """Maps each code to the files that name it."""
    found: dict[str, set[str]] = {}
    for package in ("agent", "slots", "bootloader_env"):
        for path in sorted((root / package).rglob("*.py")):
            # Findings of the doctor look like codes; it raises no errors of its own.
            if path.name == "codes.py" or {"demo", "doctor"} & set(path.relative_to(root).parts):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
                    found.setdefault(node.value, set()).add(str(path.relative_to(root)))
    return found


if __name__ == "__main__":
    for code, files in sorted(codes_in(Path(__file__).resolve().parent.parent).items()):
        sys.stdout.write(f"{code}\t{' '.join(sorted(files))}\n")
