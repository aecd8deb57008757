"""The three who judge a signature in the matrices: this agent, ``openssl cms -verify``, and ``rauc info``.

Each gets the same file of trusted certificates and CRLs, the same purpose, and the same time.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
from pki.build import Pki, pem
from pki.crls import crl_pem

from agent.bundle import chain_openssl, trust
from agent.bundle.chain import ChainQuestion
from agent.bundle.keyring import load_keyring
from agent.bundle.purpose import CheckPurpose
from agent.bundle.verify import verify_bundle
from agent.errors import BundleError
from support.bundles import opened
from support.tampering import parts_of

FindChain = Callable[[ChainQuestion], tuple[object, ...]]


def libraries() -> dict[str, FindChain]:
    """The ways to build a chain that this environment has; the one that the agent takes is among them."""
    found: dict[str, FindChain] = {trust.find_chain.__module__: trust.find_chain}
    if find_spec("OpenSSL"):
        found[chain_openssl.__name__] = chain_openssl.find_chain
    return found


@dataclass(frozen=True)
class Setting:
    """What a device is set up to believe, and when it is asked.

    Args:
        keyring: names of ``pki.build.SPECS``.
        crls: names of ``pki.crls.CRLS``.
        days: the time of verification, from now.
    """

    keyring: tuple[str, ...] = ("root",)
    crls: tuple[str, ...] = ()
    purpose: CheckPurpose = "codesign"
    check_crl: bool = False
    partial: bool = False
    allowed: tuple[str, ...] = ()
    days: float = 0

    def write(self, pki: Pki, directory: Path) -> Path:
        """Writes the keyring; the empty one is a file with a comment."""
        path = directory / "keyring.pem"
        certificates = b"".join(pem(pki.signer(name).certificate) for name in self.keyring)
        path.write_bytes(b"# trusted\n" + certificates + crl_pem(pki, *self.crls))
        return path


def our_verdict(bundle: Path, keyring: Path, setting: Setting, pki: Pki, purpose: CheckPurpose | None = None) -> str:
    """The code of our refusal, or an empty text; every byte of the payload is read. All libraries must agree."""
    codes = {}
    for name, library in libraries().items():
        with pytest.MonkeyPatch.context() as patch, opened(bundle) as source:
            patch.setattr(trust, "find_chain", library)
            try:
                policy = load_keyring(
                    keyring,
                    purpose or setting.purpose,
                    check_crl=setting.check_crl,
                    allow_partial_chain=setting.partial,
                    allowed_signer_cns=setting.allowed,
                )
                verified = verify_bundle(source, policy, pki.now + timedelta(days=setting.days))
                assert sum(map(len, verified.payload.stream(0, verified.payload.size))) == verified.payload.size
                codes[name] = ""
            except BundleError as error:
                codes[name] = error.code
    assert len(set(codes.values())) == 1, codes
    return codes.popitem()[1]


def openssl_accepts(bundle: Path, keyring: Path, setting: Setting, pki: Pki, *, detached: bool = False) -> bool:
    """Asks openssl; 3.0 knows no purpose ``codesign``, so it is asked for ``any`` then."""
    parts, folder = parts_of(bundle), bundle.parent
    (folder / "cms").write_bytes(parts.cms)
    (folder / "payload").write_bytes(parts.payload)
    argv: list[object] = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", folder / "cms"]
    argv += ["-CAfile", keyring, "-no-CApath", "-no-CAstore", "-out", "/dev/null"]
    argv += ["-purpose", "smimesign" if setting.purpose == "smimesign" else "any"]
    argv += ["-attime", int((pki.now + timedelta(days=setting.days)).timestamp())] if setting.days else []
    argv += ["-crl_check", "-crl_check_all", "-extended_crl"] if setting.check_crl else []
    argv += ["-partial_chain"] if setting.partial else []
    argv += ["-content", folder / "payload"] if detached else []
    return subprocess.run(list(map(str, argv)), capture_output=True, check=False, timeout=60).returncode == 0


def rauc_accepts(bundle: Path, keyring: Path, setting: Setting) -> bool:
    """Asks rauc; its ``info`` checks signature and chain, and the payload of a plain bundle."""
    conf = bundle.parent / "system.conf"
    lines = ["[system]", "compatible=demo-board", "bootloader=noop", "[keyring]", f"path={keyring}"]
    lines += [f"check-purpose={setting.purpose}", f"check-crl={str(setting.check_crl).lower()}"]
    lines += [f"allow-partial-chain={str(setting.partial).lower()}"]
    conf.write_text("\n".join(lines) + "\n")
    shift = ["faketime", "-f", f"{setting.days * 86400:+.0f}"] if setting.days else []
    argv = [*shift, "rauc", "-c", str(conf), "info", str(bundle)]
    return subprocess.run(argv, capture_output=True, check=False, timeout=60).returncode == 0
