"""The initial RAM disk of a guest: Debian's kernels have the drivers of disks and file systems as modules.

It does what any small one of a device does: it mounts what ``root=`` names, read-only, and hands over. If it cannot, the kernel
panics, and what the device then does is up to ``panic=``. One for a root that dm-verity protects (``lab/verity.py``) maps it
before, by dmsetup: the kernel's own ``dm-mod.create=`` is only there when device mapper is built in.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tempfile
from pathlib import Path

from boot.lab.cache import cached, home
from boot.lab.debs import Arch, fetch_alone, unpack
from boot.lab.kernel import kernel, needed
from boot.lab.root import root

# What is loaded when: if the kernel has been told of memory for its last words, always, for a root on an eMMC, for a type of
# file system.
_MODULES = {
    "pstore": ("ramoops",),
    "disk": ("virtio_pci", "virtio_mmio", "virtio_blk"),
    "mmc": ("sdhci_pci", "mmc_block"),
    "ext4": ("ext4",),
    "squashfs": ("squashfs",),
}
_VERITY = {"verity": ("dm_verity",)}
# What dmsetup needs, by its own word (NEEDED in its dynamic section, and in those of its libraries).
_LIBRARIES = ("devmapper.so.1.02.1", "selinux.so.1", "udev.so.1", "pcre2-8.so.0", "m.so.6", "c.so.6")
_LOADERS: dict[Arch, tuple[str, str]] = {
    "arm64": ("lib", "aarch64-linux-gnu/ld-linux-aarch64.so.1"),
    "amd64": ("lib64", "x86_64-linux-gnu/ld-linux-x86-64.so.2"),
}
_PATIENCE = 100  # tenths of a second until the disk is there
# UEFI, appendix A: the first three fields of a GUID are in little endian, as both processors read numbers.
_GUID = '1/4 "%08x-" 2/2 "%04x-" 2/1 "%02x" "-" 6/1 "%02x"'
_INIT = f"""\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
exec </dev/console >/dev/console 2>&1
echo "initrd: started"

fail() {{
    echo "initrd: $1"
    exit 1  # of process 1: the kernel panics
}}

# The modules of a kind; more arguments are parameters for each of them, and those that a module does not have it ignores.
load() {{
    kind=$1
    shift
    while read -r module; do
        $b insmod "/modules/$module" "$@" 2>/dev/null || true  # some are for processors that can do more
    done <"/modules/$kind.order"
}}

# The node of a partition, by its name in the partition table.
labelled() {{
    for event in /sys/class/block/*/uevent; do
        name= node=
        while IFS== read -r key value; do
            case $key in
                PARTNAME) name=$value ;;
                DEVNAME) node=/dev/$value ;;
            esac
        done <"$event"
        [ "$name" != "$1" ] || return 0
    done
    node=
}}

# The node of a partition, by its UUID in the GPT: entries of 128 bytes from the third sector on, the UUID at byte 16 of each.
identified() {{
    for number in /sys/class/block/*/partition; do
        node=${{number%/partition}}
        node=/dev/${{node##*/}}
        disk=$($b readlink -f "${{number%/*}}/..")
        read -r number <"$number"
        uuid=$($b hexdump -v -s $((896 + 128 * number + 16)) -n 16 -e '{_GUID}' "/dev/${{disk##*/}}" 2>/dev/null)
        [ "$uuid" != "$1" ] || return 0
    done
    node=
}}

# The node of a verified device over that of a partition. The size of the file system is in its superblock, in blocks of 4096
# bytes; behind it lie the hash of the tree's root, in a block of its own, and the tree.
verified() {{
    load verity
    blocks=$($b hexdump -v -s 1028 -n 4 -e '1/4 "%u"' "$node")
    hash=$($b dd if="$node" bs=4096 skip="$blocks" count=1 2>/dev/null | $b head -c 64)
    table="0 $((blocks * 8)) verity 1 $node $node 4096 4096 $blocks $((blocks + 1)) sha256 $hash -"
    /bin/dmsetup create --readonly --noudevrules --noudevsync --table "$table" root || fail "$root is not protected"
    # Without udev there is only the kernel's own name of it.
    $b mkdir -p /dev/mapper
    $b ln -sf ../dm-0 /dev/mapper/root
    node=/dev/mapper/root
}}

find_root() {{
    case $root in
        PARTLABEL=*) labelled "${{root#PARTLABEL=}}" ;;
        PARTUUID=*) identified "${{root#PARTUUID=}}" ;;
        *) node=$root ;;
    esac
}}

root= rootfstype=ext4 rootflags= init=/sbin/init pstore=
read -r words </proc/cmdline
for word in $words; do
    case $word in
        root=* | rootfstype=* | rootflags=* | init=*) eval "${{word%%=*}}=\\${{word#*=}}" ;;
        ramoops.*) pstore="$pstore ${{word#*.}}" ;;
    esac
done

[ -z "$pstore" ] || load pstore $pstore
load disk
case $root in
    /dev/mmcblk*) load mmc ;;
esac
load "$rootfstype"

tries=0
find_root
while [ ! -b "$node" ]; do
    tries=$((tries + 1))
    [ $tries -lt {_PATIENCE} ] || fail "there is no $root"
    $b sleep 0.1
    find_root
done
[ ! -x /bin/dmsetup ] || verified
$b mount -t "$rootfstype" -o "ro${{rootflags:+,$rootflags}}" "$node" /new || fail "$root cannot be mounted"
[ -x "/new$init" ] || [ -L "/new$init" ] || fail "$root has no $init"
for kept in dev proc sys; do
    $b mount -o move /$kept /new/$kept || fail "$root has no /$kept"
done
exec $b switch_root /new "$init"
"""


def initrd(arch: Arch, *, verity: bool = False) -> Path:
    """Makes it, unless that was done before.

    Args:
        arch: whose kernel and programs.
        verity: the root is protected.
    """
    of = kernel(arch)
    key: list[str | bytes] = [of.modules.parent.name, next(_busybox(arch).iterdir()).name, Path(__file__).read_bytes()]
    key += [root(arch).name] if verity else []
    kinds = {**_MODULES, **(_VERITY if verity else {})}

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".initrd-", dir=home()) as directory:
            tree = Path(directory)
            for name in ("bin", "dev", "proc", "sys", "new", "modules"):
                (tree / name).mkdir()
            put_busybox(tree / "bin", arch)
            if verity:
                _put_dmsetup(tree, arch)
            for name, modules in kinds.items():
                files = needed(of.modules / "usr", of.version, modules)
                for module in files:
                    shutil.copy(module, tree / "modules")
                (tree / f"modules/{name}.order").write_text("".join(f"{module.name}\n" for module in files))
            (tree / "init").write_text(_INIT)
            (tree / "init").chmod(0o755)
            path.write_bytes(gzip.compress(_pack(tree), mtime=0))

    return cached(f"initrd-{'verity-' if verity else ''}{arch}", key, make)


def put_busybox(directory: Path, arch: Arch) -> None:
    """Copies the one program that needs no library into a directory."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as unpacked:
        unpack(_busybox(arch), Path(unpacked))
        shutil.copy(Path(unpacked) / "bin/busybox", directory)


def _put_dmsetup(tree: Path, arch: Arch) -> None:
    source = root(arch) / "usr"
    directory, loader = _LOADERS[arch]
    for name in {"lib", directory}:
        (tree / name).mkdir()
    shutil.copy(source / "sbin/dmsetup", tree / "bin")
    shutil.copy(source / "lib" / loader, tree / directory)
    for name in _LIBRARIES:
        shutil.copy((source / "lib" / loader).with_name(f"lib{name}"), tree / "lib")


def _busybox(arch: Arch) -> Path:
    return fetch_alone(arch, "busybox-static")


def _pack(tree: Path) -> bytes:
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    command = ["cpio", "--create", "--format=newc", "--quiet", "--owner=0:0", "--reproducible"]
    return subprocess.run(command, input="\n".join(names).encode(), cwd=tree, check=True, capture_output=True).stdout
