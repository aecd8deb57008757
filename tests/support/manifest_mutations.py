"""Manifests that rauc 1.8 and we must judge, each properly signed into an otherwise good verity bundle.

Newer versions of RAUC know more keys and check more than 1.8. Where they agree with us and 1.8 does not, the row says since
which version; facts from RAUC's ``src/manifest.c``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from support.bundles import IMAGE_NAME
from support.mutation_stock import Make, Mutation, accepted, refused, value_of, with_value

NEVER = (1, 1)  # exit status of `rauc info` and `rauc extract`
LATER = (0, 1)
ACCEPTS = (0, 0)

INVALID = "bundle.manifest-invalid"

SINCE_1_9 = "rauc looks into [meta.*] since 1.9"
SINCE_1_13 = "rauc knows artifacts since 1.13"
SINCE_1_14 = "rauc knows it since 1.14"
SINCE_1_15 = "rauc knows this key since 1.15"
HARDENED = "rauc refuses it since 1.16"
ONE_LINE = "it ends up in logs, in comparisons and in the environment of programs"
UNHEARD = "GLib reports an error and rauc does not look at it"
MISSING = "rauc takes an empty value for a missing one"
EXACT = "a number is written in digits only, so that all readers see the same"
NOT_LOOKED_AT = "rauc looks for the program when it wants to run it"
SAFE_NAME = "the name is used for a file; rauc 1.8 uses it as it is"
SLOT_CLASS = "no slot of ours can have such a class"

Change = Callable[[bytes], bytes]


def _text(change: Change) -> Make:
    return lambda stock: stock.signed(change(stock.text))


def _set(key: str, value: str | bytes) -> Make:
    data = value.encode() if isinstance(value, str) else value
    return _text(lambda text: with_value(text, key.encode(), data))


def _add(more: str | bytes) -> Make:
    """Lines behind the last ones, which are those of [image.rootfs]."""
    data = more.encode() if isinstance(more, str) else more
    return _text(lambda text: text.rstrip(b"\n") + b"\n" + data)


def _before(more: str | bytes) -> Make:
    data = more.encode() if isinstance(more, str) else more
    return _text(lambda text: data + text)


def _without(*keys: str) -> Make:
    return _text(lambda text: re.sub(rf"(?m)^({'|'.join(keys)})=.*\n".encode(), b"", text))


def _replace(old: str, new: str) -> Make:
    def change(text: bytes) -> bytes:
        assert old.encode() in text
        return text.replace(old.encode(), new.encode())

    return _text(change)


def _upper(key: str) -> Make:
    return _text(lambda text: with_value(text, key.encode(), value_of(text, key.encode()).upper()))


def _image(group: str, *lines: str) -> Make:
    """One more image, which is the same file."""

    def change(text: bytes) -> bytes:
        own = text[text.index(b"sha256=") :].rstrip(b"\n") + b"\n"
        return text.rstrip(b"\n") + f"\n[{group}]\n".encode() + own + "".join(f"{line}\n" for line in lines).encode()

    return _text(change)


def _digits(kind: str) -> Make:
    """The size of the image, written in another way."""
    return _text(lambda text: with_value(text, b"size", kind.format(int(value_of(text, b"size"))).encode()))


GRAMMAR: dict[str, Mutation] = {
    "as it was": accepted(_text(lambda text: text), ACCEPTS),
    "CRLF": accepted(_text(lambda text: text.replace(b"\n", b"\r\n")), ACCEPTS),
    "no line end at the end": accepted(_text(lambda text: text.rstrip(b"\n")), ACCEPTS),
    "comments and blank lines": accepted(_text(lambda text: b"# x\n\n \t\n" + text + b"  # y=z\n"), ACCEPTS),
    "spaces around keys, values and groups": accepted(
        _text(lambda text: text.replace(b"version=1", b" version \t= \t1").replace(b"[bundle]", b" [bundle] \t")),
        ACCEPTS,
    ),
    "group in two pieces": accepted(_add("[update]\ndescription=later\n"), ACCEPTS),
    "escapes": accepted(_add("[update]\ndescription=a\\nb\\tc\\s\\\\d\n"), ACCEPTS),
    "empty": refused(INVALID, _text(lambda _: b""), NEVER),
    "only a comment": refused(INVALID, _text(lambda _: b"# nothing\n"), NEVER),
    "byte order mark": refused(INVALID, _before(b"\xef\xbb\xbf"), NEVER),
    "key before any group": refused(INVALID, _before("version=1\n"), NEVER),
    "line without equals sign": refused(INVALID, _add("rubbish\n"), NEVER),
    "unclosed group": refused(INVALID, _replace("[bundle]", "[bundle"), NEVER),
    "text behind a group": refused(INVALID, _replace("[bundle]", "[bundle] # verity"), NEVER),
    "empty name of a group": refused(INVALID, _add("[]\n"), NEVER),
    "unknown escape in a value": refused(INVALID, _set("compatible", "a\\xb"), ACCEPTS, UNHEARD),
    "backslash at the end of a value": refused(INVALID, _set("compatible", "a\\"), ACCEPTS, UNHEARD),
    "value that is not UTF-8": refused(INVALID, _set("compatible", b"a\xff"), NEVER),
    "comment that is not UTF-8": refused(INVALID, _before(b"# \xff\n"), ACCEPTS, "GLib does not look into comments"),
    "NUL in a value": refused(INVALID, _set("compatible", b"demo-board\0evil"), ACCEPTS, "GLib reads up to the NUL"),
    "key twice": refused(INVALID, _replace("version=1", "version=1\nversion=2"), NEVER),
    "key with a locale": refused(INVALID, _replace("version=1", "version=1\nversion[de]=2"), ACCEPTS, "GLib drops it"),
    "Encoding": refused(INVALID, _before("[update]\nEncoding=latin1\n"), NEVER),
    "unknown group": refused(INVALID, _add("[rubbish]\n"), NEVER),
    "unknown key": refused(INVALID, _replace("version=1", "verison=1"), NEVER),
    "empty value": refused(INVALID, _set("version", ""), ACCEPTS, MISSING),
    "empty compatible": refused(INVALID, _set("compatible", ""), NEVER),
    "no compatible": refused(INVALID, _without("compatible"), NEVER),
    "no version": accepted(_without("version"), ACCEPTS),
    "two lines of compatible": refused(INVALID, _set("compatible", "demo\\nboard"), ACCEPTS, ONE_LINE),
    "control character in version": refused(INVALID, _set("version", b"1\x1b[2J"), ACCEPTS, ONE_LINE),
    "long version": refused(INVALID, _set("version", "1" * 1025), ACCEPTS, ONE_LINE),
    "long description": accepted(_add("[update]\ndescription=" + "1" * 30_000), ACCEPTS),
}

BUNDLE: dict[str, Mutation] = {
    "format zip": refused(INVALID, _set("format", "zip"), NEVER),
    "format plain": refused(INVALID, _set("format", "plain"), NEVER),
    "format plain, without a tree": refused(
        "bundle.format-mismatch", _text(lambda text: re.sub(rb"(?m)^(verity-.*|format=.*)\n", b"", text)), NEVER
    ),
    "crypt-key in a verity bundle": refused(INVALID, _replace("format=verity", "format=verity\ncrypt-key=" + "0" * 64), NEVER),
    "no salt": refused(INVALID, _without("verity-salt"), LATER),
    "no hash": refused(INVALID, _without("verity-hash"), LATER),
    "no size of the tree": refused(INVALID, _without("verity-size"), LATER),
    "hash that is not hexadecimal": refused(INVALID, _set("verity-hash", "g" * 64), LATER),
    "hash that is too short": refused(INVALID, _set("verity-hash", "a" * 62), LATER),
    "hash in upper case": accepted(_upper("verity-hash"), ACCEPTS),
    "size of the tree not in blocks": refused(INVALID, _set("verity-size", "4097"), LATER),
    "size of the tree 0": refused(INVALID, _set("verity-size", "0"), LATER),
    "size of the tree 2^64 - 4096": refused(INVALID, _set("verity-size", str(2**64 - 4096)), LATER),
    "size of the tree larger than the file": refused("bundle.payload-corrupt", _set("verity-size", str(2**40)), LATER),
    "one more block of tree": refused("bundle.payload-corrupt", _set("verity-size", "8192"), LATER),
    "min-rauc-version 1.14": accepted(_replace("version=1", "version=1\nmin-rauc-version=1.14"), NEVER, SINCE_1_14),
    "min-rauc-version 99": refused("bundle.needs-newer", _replace("version=1", "version=1\nmin-rauc-version=99"), NEVER),
    "min-rauc-version 1.13": refused(INVALID, _replace("version=1", "version=1\nmin-rauc-version=1.13"), NEVER),
    "min-rauc-version that is none": refused(INVALID, _replace("version=1", "version=1\nmin-rauc-version=1.x"), NEVER),
    "rollout": accepted(_add("[rollout]\nphase=early\n"), NEVER, SINCE_1_14),
    "meta": accepted(_add("[meta.ota]\nsecurity-epoch=3\n"), ACCEPTS),
    "meta with two points": refused(INVALID, _add("[meta.a.b]\nc=d\n"), ACCEPTS, SINCE_1_9),
    "meta key with a space": refused(INVALID, _add("[meta.a]\nc d=e\n"), ACCEPTS, SINCE_1_9),
    "meta with an empty value": refused(INVALID, _add("[meta.a]\nc=\n"), ACCEPTS, SINCE_1_9),
    "meta without a label": refused(INVALID, _add("[meta.]\nc=d\n"), ACCEPTS, "a label names something"),
    "meta without a point": refused(INVALID, _add("[meta]\nc=d\n"), NEVER),
    "handler": accepted(_add(f"[handler]\nfilename={IMAGE_NAME}\nargs=--fast\n"), ACCEPTS),
    "handler that is missing": refused("bundle.file-missing", _add("[handler]\nfilename=h\n"), ACCEPTS, NOT_LOOKED_AT),
    "handler in a folder": refused(INVALID, _add("[handler]\nfilename=../h\n"), ACCEPTS, SAFE_NAME),
    "handler arguments without a handler": refused(INVALID, _add("[handler]\nargs=x\n"), ACCEPTS, "rauc refuses it since 1.10"),
    "hooks": accepted(_add(f"[hooks]\nfilename={IMAGE_NAME}\nhooks=install-check\n"), ACCEPTS),
    "hooks that are missing": refused("bundle.file-missing", _add("[hooks]\nfilename=h\n"), ACCEPTS, NOT_LOOKED_AT),
    "hooks without a file": refused(INVALID, _add("[hooks]\nhooks=install-check\n"), LATER),
    "unknown hook": refused(INVALID, _add("[hooks]\nfilename=run.sh\nhooks=install\n"), NEVER),
    "empty list of hooks": refused(INVALID, _add("[hooks]\nfilename=run.sh\nhooks=\n"), ACCEPTS, MISSING),
}  # fmt: skip

IMAGES: dict[str, Mutation] = {
    "another variant": accepted(_image("image.rootfs.board-2"), ACCEPTS),
    "another variant with points": accepted(_image("image.rootfs.board-2.1"), ACCEPTS),
    "variant without a name": refused(INVALID, _image("image.rootfs."), ACCEPTS, "no device can have such a variant"),
    "class without a name": refused(INVALID, _image("image."), ACCEPTS, SLOT_CLASS),
    "class with a space": refused(INVALID, _image("image.root fs"), ACCEPTS, SLOT_CLASS),
    "image without a class": refused(INVALID, _image("image"), NEVER),
    "artifact": refused("bundle.artifacts-unsupported", _image("image.repo/thing"), ACCEPTS, SINCE_1_13),
    "convert": refused("bundle.artifacts-unsupported", _add("convert=tar-extract;\n"), NEVER),
    "converted": refused("bundle.artifacts-unsupported", _add("converted=rootfs.img.extracted;\n"), NEVER),
    "type raw": accepted(_add("type=raw\n"), NEVER, SINCE_1_15),
    "type emptyfs": accepted(_add("[image.data]\ntype=emptyfs\n"), NEVER, SINCE_1_15),
    "type emptyfs with a file": refused(INVALID, _add("type=emptyfs\n"), NEVER),
    "unknown type": refused(INVALID, _add("type=zip\n"), NEVER),
    "legacy keys": accepted(_add("version=1\ndescription=x\nbuild=y\n"), NEVER, "rauc ignores them since 1.11"),
    "adaptive": accepted(_add("adaptive=block-hash-index;\n"), ACCEPTS),
    "unknown adaptive method": accepted(_add("adaptive=block-hash-index;tomorrow\n"), ACCEPTS),
    "image hook": accepted(_add(f"hooks=post-install\n[hooks]\nfilename={IMAGE_NAME}\n"), ACCEPTS),
    "image hook without a file": refused(INVALID, _add("hooks=post-install;\n"), LATER),
    "unknown image hook": refused(INVALID, _add("hooks=post-instal\n"), NEVER),
    "escaped semicolon in a list": refused(INVALID, _add("hooks=post-install\\;\n"), NEVER),
    "install hook without an image": accepted(_add(f"[image.x]\nhooks=install\n[hooks]\nfilename={IMAGE_NAME}\n"), ACCEPTS),
    "unknown key of an image": refused(INVALID, _add("checksum=1\n"), NEVER),
    "no filename": refused(INVALID, _without("filename"), NEVER),
    "filename ../x": refused(INVALID, _set("filename", "../rootfs.img"), ACCEPTS, HARDENED),
    "filename with a folder": refused(INVALID, _set("filename", "sub/rootfs.img"), ACCEPTS, HARDENED),
    "filename ..": refused(INVALID, _set("filename", ".."), ACCEPTS, SAFE_NAME),
    "filename of the manifest": refused(INVALID, _set("filename", "manifest.raucm"), ACCEPTS, SAFE_NAME),
    "filename with a line end": refused(INVALID, _set("filename", "a\\nb"), ACCEPTS, SAFE_NAME),
    "no digest": refused(INVALID, _without("sha256", "size"), LATER),
    "digest with a path": refused(INVALID, _set("sha256", "../" + "a" * 61), ACCEPTS, HARDENED),
    "digest that is too short": refused(INVALID, _set("sha256", "ab"), ACCEPTS, HARDENED),
    "digest in upper case": accepted(_upper("sha256"), ACCEPTS),
    "size without a digest": refused(INVALID, _without("sha256"), LATER),
    "digest without a size": refused(INVALID, _without("size"), LATER),
    "size 0": refused(INVALID, _set("size", "0"), ACCEPTS, "an empty image would be activated as a system"),
    "size with zeros in front": accepted(_digits("000{}"), ACCEPTS),
    "size with a sign": refused(INVALID, _digits("+{}"), ACCEPTS, EXACT),
    "negative size": refused(INVALID, _digits("-{}"), LATER),
    "size with a space": refused(INVALID, _digits("\\s{}"), NEVER),
    "size in words": refused(INVALID, _set("size", "3MB"), NEVER),
    "size in other digits": refused(INVALID, _set("size", "\u0663"), NEVER),
    "size of 2^64": refused(INVALID, _set("size", str(2**64)), LATER),
}  # fmt: skip

ROWS = {
    **GRAMMAR,
    **{f"[bundle] {name}": row for name, row in BUNDLE.items()},
    **{f"[image] {name}": row for name, row in IMAGES.items()},
}
