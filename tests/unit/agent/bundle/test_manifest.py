"""The manifest: strict, bounded, and the same after a round trip."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bundle.keyfile import MAX_SIZE, read_keyfile
from agent.bundle.manifest import Image, Manifest, dump_manifest, parse_draft, parse_manifest
from agent.errors import BundleError

SHA = "ab" * 32
FULL = f"""
# a comment
[update]
compatible=demo-board
version=2026.11-1
description=two lines\\nand a tab\\t
build=20261122
min-rauc-version=1.14

[bundle]
format=verity
verity-hash={SHA.upper()}
verity-salt={SHA}
verity-size=4096

[hooks]
filename=hook.sh
hooks=install-check;

[handler]
filename=handler.sh
args=--fast

[image.rootfs]
filename=rootfs.img
sha256={SHA}
size=300000
type=ext4
hooks=pre-install;post-install
adaptive=block-hash-index;
version=legacy

[image.rootfs.board-2.1]
filename=other.img
sha256={SHA}
size=1

[rollout]
phase=early

[meta.ota]
security-epoch=3
[meta.update]
poem=\\s indented
""".encode()

MINIMAL = b"[update]\ncompatible=x\n"
IMAGE = f"[image.rootfs]\nfilename=a\nsha256={SHA}\nsize=1\n".encode()
VERITY = f"[bundle]\nformat=verity\nverity-hash={SHA}\nverity-salt={SHA}\nverity-size=4096\n".encode()


def refusal(data: bytes) -> BundleError:
    with pytest.raises(BundleError) as caught:
        parse_manifest(data)
    return caught.value


def test_every_key_of_rauc_is_understood() -> None:
    manifest = parse_manifest(FULL)
    assert manifest.compatible == "demo-board"
    assert manifest.version == "2026.11-1"
    assert manifest.description == "two lines\nand a tab\t"
    assert manifest.bundle_format == "verity"
    assert manifest.verity_hash == bytes.fromhex(SHA)
    assert (manifest.hooks, manifest.hook_filename) == (("install-check",), "hook.sh")
    assert (manifest.handler_filename, manifest.handler_args) == ("handler.sh", "--fast")
    assert manifest.images == (
        Image(
            "rootfs", None, "rootfs.img", SHA, 300000, "ext4", ("pre-install", "post-install"), ("block-hash-index",)
        ),
        Image("rootfs", "board-2.1", "other.img", SHA, 1),
    )
    assert manifest.rollout == {"phase": "early"}
    assert manifest.meta == {"ota": {"security-epoch": "3"}, "update": {"poem": "  indented"}}
    assert parse_manifest(dump_manifest(manifest)) == manifest


def test_a_manifest_cannot_be_changed() -> None:
    manifest = parse_manifest(FULL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        manifest.version = "9"  # type: ignore[misc]  the point of the test
    with pytest.raises(TypeError):
        manifest.meta["ota"]["security-epoch"] = "9"  # type: ignore[index]  the point of the test


def test_windows_line_ends_and_missing_last_line_end_are_tolerated() -> None:
    assert parse_manifest(b"[update]\r\ncompatible=x\r\nversion=1") == Manifest("x", "1")


def test_a_carriage_return_without_a_line_feed_is_part_of_the_value() -> None:
    assert read_keyfile(b"[a]\nkey\r=b\r") == {"a": {"key": "b\r"}}


def test_an_image_may_lack_a_file_when_nothing_is_written_or_a_hook_brings_it() -> None:
    data = b"[image.a]\ntype=emptyfs\n[image.b]\nhooks=install;\n[hooks]\nfilename=h\n"
    assert [image.filename for image in parse_manifest(MINIMAL + data).images] == ["", ""]


@pytest.mark.parametrize("data", [b"[image.repo/thing]\nfilename=x\n", IMAGE + b"convert=tar-extract;\n"])
def test_artifacts_and_what_belongs_to_them_have_a_code_of_their_own(data: bytes) -> None:
    assert refusal(MINIMAL + data).code == "bundle.artifacts-unsupported"


def test_groups_of_one_name_are_one_group() -> None:
    assert parse_manifest(b"[update]\ncompatible=x\n" + IMAGE + b"[update]\nversion=2\n").version == "2"


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"[update]\ncompatible=x\nverison=1\n", "'version'"),
        (b"[updates]\ncompatible=x\n", "'update'"),
        (MINIMAL + b"[image.rootfs]\nfilname=a\n", "'filename'"),
        (MINIMAL + b"[bundle]\nformat=veritty\n", "'verity'"),
        (MINIMAL + b"[image.rootfs]\nfilename=a\nhooks=post-instal\n", "'post-install'"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_right_one(data: bytes, hint: str) -> None:
    error = refusal(data)
    assert error.code == "bundle.manifest-invalid"
    assert f"did you mean {hint}" in error.resolution


@pytest.mark.req("T16", "T19")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"compatible=x\n",
        b"[update]\n",
        b"[update]\ncompatible=\n",
        b"[update]\ncompatible=x\ncompatible=x\n",
        b"[update]\ncompatible=x\n[update]\ncompatible=y\n",
        b"\xef\xbb\xbf[update]\ncompatible=x\n",
        b"[update]\ncompatible=\xff\n",
        b"[update]\ncompatible=x\x00y\n",
        b"[update]\ncompatible=x\\ny\n",
        b"[update]\ncompatible=\\x\n",
        b"[update]\ncompatible=x\\\n",
        b"[update\ncompatible=x\n",
        b"[update] x\ncompatible=x\n",
        b"[]\n" + MINIMAL,
        b"[update]\ncompatible\n",
        b"[update]\n=x\n",
        MINIMAL + b"[rubbish]\n",
        MINIMAL + b"[meta.a.b]\nc=d\n",
        MINIMAL + b"[meta.a]\nkey with space=d\n",
        MINIMAL + b"[meta.]\nc=d\n",
        MINIMAL + b"[bundle]\nformat=zip\n",
        MINIMAL + b"[bundle]\nformat=verity\n",
        MINIMAL + f"[bundle]\nformat=verity\nverity-hash={SHA}\nverity-size=4096\n".encode(),
        MINIMAL + f"[bundle]\nformat=verity\nverity-hash={SHA}\nverity-salt={SHA}\nverity-size=4097\n".encode(),
        MINIMAL + f"[bundle]\nformat=verity\nverity-hash={SHA[1:]}g\nverity-salt={SHA}\nverity-size=4096\n".encode(),
        MINIMAL + f"[bundle]\nverity-hash={SHA[2:]}\n".encode(),
        MINIMAL + b"[handler]\nargs=x\n",
        MINIMAL + b"[hooks]\nfilename=h\nhooks=install\n",
        MINIMAL + b"[hooks]\nhooks=install-check\n",
        MINIMAL + b"[image.rootfs]\nfilename=a\n",
        MINIMAL + IMAGE.replace(b"filename=a", b"filename=../a"),
        MINIMAL + IMAGE.replace(b"filename=a", b"filename=.."),
        MINIMAL + IMAGE.replace(b"filename=a", b"filename=manifest.raucm"),
        MINIMAL + IMAGE.replace(b"filename=a", b"filename=" + b"a" * 256),
        MINIMAL + IMAGE.replace(b"filename=a\n", b""),
        MINIMAL + IMAGE.replace(SHA.encode(), b"../" + SHA[3:].encode()),
        MINIMAL + IMAGE.replace(b"size=1", b"size=0"),
        MINIMAL + IMAGE.replace(b"size=1", b"size=-1"),
        MINIMAL + IMAGE.replace(b"size=1", b"size=0x10"),
        MINIMAL + IMAGE.replace(b"size=1", "size=\u0661".encode()),
        MINIMAL + IMAGE.replace(b"size=1", b"size=18446744073709551616"),
        MINIMAL + IMAGE.replace(b"size=1\n", b""),
        MINIMAL + IMAGE.replace(b"rootfs", b"root fs"),
        MINIMAL + IMAGE.replace(b"image.rootfs", b"image.rootfs."),
        MINIMAL + IMAGE + b"type=emptyfs\n",
        MINIMAL + IMAGE + b"type=zip\n",
        MINIMAL + b"[image.rootfs]\ntype=emptyfs\nadaptive=block-hash-index\n",
        MINIMAL + f"[bundle]\nverity-hash={SHA}\n".encode(),
        MINIMAL + VERITY + f"crypt-key={SHA}\n".encode(),
        MINIMAL + VERITY.replace(b"verity\n", b"crypt\n", 1),
        MINIMAL + b"[meta.a]\nb[de]=c\n",
        MINIMAL + b"[meta.a]\nb]=c\n",
        b"[meta.a]\nEncoding=latin1\n" + MINIMAL,
    ],
)
def test_what_is_not_exactly_right_is_refused(data: bytes) -> None:
    assert refusal(data).code == "bundle.manifest-invalid"


@pytest.mark.req("T16")
def test_a_manifest_has_a_largest_size() -> None:
    line = b"[meta.a]\nb=" + b"x" * (MAX_SIZE - len(MINIMAL) - 12) + b"\n"
    assert len(MINIMAL + line) == MAX_SIZE
    parse_manifest(MINIMAL + line)
    assert refusal(MINIMAL + line + b"\n").code == "bundle.manifest-too-large"


def test_a_draft_may_lack_what_is_generated() -> None:
    draft = parse_draft(MINIMAL + b"[bundle]\nformat=verity\n[image.rootfs]\nfilename=a\n")
    assert draft.images == (Image("rootfs", None, "a"),)


text = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=40)
line = text.filter(str.isprintable)
block = st.text(st.characters(codec="utf-8", exclude_categories=["C"], include_characters="\n\t\r"), min_size=1)
word = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
sha = st.binary(min_size=32, max_size=32)
images = st.builds(
    Image,
    slot_class=word,
    variant=st.none() | st.from_regex(r"[a-z][a-z0-9.-]{0,9}", fullmatch=True),
    filename=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_ .;=-]{0,20}", fullmatch=True),
    sha256=sha.map(bytes.hex),
    size=st.integers(1, 1 << 44),
    type=st.sampled_from([None, "raw", "ext4", "tar"]),
    hooks=st.lists(st.sampled_from(["pre-install", "install", "post-install"]), unique=True).map(tuple),
    adaptive=st.lists(word).map(tuple),
)
metas = st.dictionaries(word, st.dictionaries(word, block, max_size=4), max_size=4)


@settings(deadline=None)
@given(
    st.builds(
        Manifest,
        compatible=line,
        version=st.just("") | line,
        description=st.just("") | block,
        build=st.just("") | line,
        min_rauc_version=st.sampled_from(["", "1.14", "1.15.0-rc1+build"]),
        bundle_format=st.sampled_from(["verity", "crypt"]),
        verity_hash=sha,
        verity_salt=sha,
        verity_size=st.integers(1, 1 << 30).map(lambda blocks: blocks * 4096),
        crypt_key=sha,
        images=st.lists(images, unique_by=lambda image: image.group, max_size=4).map(tuple),
        hooks=st.sampled_from([(), ("install-check",)]),
        hook_filename=word,
        handler_filename=word,
        handler_args=st.just("") | block,
        rollout=st.dictionaries(word, block, max_size=3).map(MappingProxyType),
        meta=metas.map(lambda found: MappingProxyType({k: MappingProxyType(v) for k, v in found.items()})),
    ).map(lambda made: made if made.bundle_format == "crypt" else dataclasses.replace(made, crypt_key=b""))
)
def test_every_manifest_survives_the_round_trip(manifest: Manifest) -> None:
    assert parse_manifest(dump_manifest(manifest)) == manifest


PIECES = "[update]|[bundle]|[image.a]|[meta.x]|[|]|compatible|=|\n|\r|\\|;|#|x|format|verity-size|filename| |\t|9|\0|\u2028|."
grammar = st.lists(st.sampled_from(PIECES.split("|")), max_size=40).map(lambda parts: "".join(parts).encode())


@pytest.mark.req("T16")
@settings(deadline=None)
@given(st.binary(max_size=200) | grammar)
def test_arbitrary_bytes_are_a_manifest_or_a_refusal(data: bytes) -> None:
    try:
        manifest = parse_manifest(data)
    except BundleError:
        return
    assert parse_manifest(dump_manifest(manifest)) == manifest


def test_the_grammar_strips_what_glib_strips() -> None:
    data = b"  # comment\n\n [a] \t\n key \t=  value with space \n"
    assert read_keyfile(data) == {"a": {"key": "value with space "}}


@pytest.mark.parametrize("extra", ["hooks=install\n", "type=emptyfs\n", "hooks=pre-install;install\n"])
def test_an_image_without_a_file_needs_a_hook_that_installs_or_no_content(extra: str) -> None:
    hooks = b"[hooks]\nfilename=hook\n"
    manifest = parse_manifest(MINIMAL + hooks + f"[image.rootfs]\n{extra}".encode())
    assert manifest.images[0].filename == ""


@pytest.mark.parametrize("extra", ["hooks=post-install\n", "hooks=install\nadaptive=block-hash-index\n"])
def test_an_image_without_a_file_is_refused_otherwise(extra: str) -> None:
    assert "filename" in refusal(MINIMAL + f"[image.rootfs]\n{extra}".encode()).details


def test_an_adaptive_method_that_is_not_known_is_no_reason_to_refuse() -> None:
    image = f"[image.rootfs]\nfilename=a\nsha256={'00' * 32}\nsize=1\nadaptive=teleport;block-hash-index\n"
    assert parse_manifest(MINIMAL + image.encode()).images[0].adaptive == ("teleport", "block-hash-index")
