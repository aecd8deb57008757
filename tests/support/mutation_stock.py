"""Good bundles by ``rauc bundle``, the shape of a row about a changed one, and how to sign what was changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pki.build import Pki

from agent.bundle.cms import parse_signed_data
from agent.bundle.verity import build_tree
from support.bundles import make_content, some_image
from support.rauc import rauc_bundle
from support.tampering import Parts, openssl_cms, parts_of
from support.verdicts import Stage, Verdict

SALT = bytes(range(32))


@dataclass(frozen=True)
class Stock:
    """What the mutations start from: good bundles by ``rauc bundle``.

    Args:
        pki: who signs.
        verity: a bundle in the verity format.
        other: another one, of the same size, with another image.
        plain: one in the plain format.
    """

    pki: Pki
    verity: Parts
    other: Parts
    plain: Parts

    @property
    def text(self) -> bytes:
        """The exact manifest in the signature of the verity bundle."""
        return manifest_of(self.verity)

    @property
    def tree_size(self) -> int:
        """Bytes of the hash tree of the verity bundle."""
        return int(value_of(self.text, b"verity-size"))

    @property
    def squashfs(self) -> bytes:
        """The file system in the verity bundle."""
        return self.verity.payload[: -self.tree_size]

    def signed(self, text: bytes, *signers: str, options: tuple[str, ...] = ("-md", "sha256")) -> bytes:
        """The verity bundle with another text in its signature."""
        cms = openssl_cms(text, *map(self.pki.signer, signers or ("good",)), options=options)
        return replace(self.verity, cms=cms).joined()


Make = Callable[[Stock], bytes]


@dataclass(frozen=True)
class Mutation:
    """One row.

    Args:
        make: the bytes of the bundle.
        ours: our verdict.
        rauc: exit status of ``rauc info`` and ``rauc extract``, version 1.8.
        why: the reason for accepting what rauc 1.8 refuses, or the other way round.
    """

    make: Make
    ours: Verdict
    rauc: tuple[int, int]
    why: str = ""

    @property
    def differs(self) -> bool:
        """Whether only one of us accepts it in the end."""
        return bool(self.ours.code) != any(self.rauc)


def refused(code: str, make: Make, rauc: tuple[int, int], why: str = "", at: Stage = "opening") -> Mutation:
    """A row that we refuse."""
    return Mutation(make, Verdict(code, at), rauc, why)


def accepted(make: Make, rauc: tuple[int, int], why: str = "") -> Mutation:
    """A row that we accept."""
    return Mutation(make, Verdict(), rauc, why)


def make_stock(folder: Path, pki: Pki) -> Stock:
    """Makes the three bundles in ``folder``."""
    return Stock(
        pki,
        parts_of(_by_rauc(folder, pki, "verity", seed=1)),
        parts_of(_by_rauc(folder, pki, "verity", seed=2)),
        parts_of(_by_rauc(folder, pki, "plain", seed=1)),
    )


def manifest_of(parts: Parts) -> bytes:
    """The content of an attached signature."""
    content = parse_signed_data(parts.cms).content
    assert content is not None
    return content


def value_of(text: bytes, key: bytes) -> bytes:
    """The value of a key in a manifest."""
    found = re.search(rb"(?m)^" + re.escape(key) + rb"=(.*)$", text)
    assert found, key
    return found[1]


def with_value(text: bytes, key: bytes, value: bytes) -> bytes:
    """The manifest with another value behind one key."""
    changed, count = re.subn(rb"(?m)^" + re.escape(key) + rb"=.*$", lambda _: key + b"=" + value, text)
    assert count == 1, key
    return changed


def verity_over(stock: Stock, squashfs: bytes, *, pad: int = 0) -> bytes:
    """A signed verity bundle with another file system under the same image."""
    data = squashfs + bytes(-len(squashfs) % 4096 + pad)
    root, tree = build_tree([data], SALT)
    text = with_value(stock.text, b"verity-hash", root.hex().encode())
    text = with_value(with_value(text, b"verity-salt", SALT.hex().encode()), b"verity-size", b"%d" % len(tree))
    return Parts(data + tree, openssl_cms(text, stock.pki.signer())).joined()


def _by_rauc(folder: Path, pki: Pki, kind: str, seed: int) -> Path:
    content = make_content(
        folder / f"{kind}-{seed}", version="1", compatible="demo-board", image=some_image(300_000, seed),
        extra=f"[bundle]\nformat={kind}\n",
    )  # fmt: skip
    return rauc_bundle(content, folder / f"{kind}-{seed}.raucb", pki.signer())
