"""What we and Debian's rauc say about a bundle, in two steps: opening it, and reading every byte of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pki.build import Pki

from agent.bundle.verify import verify_bundle
from agent.bundler.opening import check_all
from agent.errors import BundleError
from support.bundles import opened, trust_in
from support.rauc import rauc

Stage = Literal["opening", "reading", ""]


@dataclass(frozen=True)
class Verdict:
    """Ours: the code of the refusal and where it came, both empty when the bundle is good."""

    code: str = ""
    at: Stage = ""


def our_verdict(bundle: Path, pki: Pki) -> Verdict:
    """Opens the bundle, then reads all of its payload and all of its images, as ``ota-bundle verify`` does."""
    at: Stage = "opening"
    try:
        with opened(bundle) as source:
            verified = verify_bundle(source, trust_in(pki), pki.now)
            at = "reading"
            check_all(verified, lambda _what, _done, _total: None)
    except BundleError as error:
        return Verdict(error.code, at)
    return Verdict()


def rauc_verdict(bundle: Path, conf: Path, scratch: Path) -> tuple[int, int]:
    """The exit status of ``rauc info`` and of ``rauc extract``; 134 when it aborts."""
    out = scratch / "extracted"
    shutil.rmtree(out, ignore_errors=True)
    info, extract = rauc("info", bundle, conf=conf), rauc("extract", bundle, out, conf=conf)
    return _status(info.returncode), _status(extract.returncode)


def _status(code: int) -> int:
    return code if code >= 0 else 128 - code
