"""The settings of ``[media]``: updates from sticks and cards that are plugged in. Pure."""

from __future__ import annotations

from agent import config_values as kind
from agent.config_row import Setting

# File systems that are mounted with what keeps them from writing to the medium: ``agent/media/filesystems.py``.
FILESYSTEMS = ("vfat", "exfat", "ext4", "iso9660", "udf", "squashfs", "erofs", "ntfs3")

MEDIA_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "media",
        "install",
        kind.one_of("off", "ask", "auto"),
        "off",
        "What happens with a newer bundle on a medium that is plugged in: it is not looked for (`off`), somebody on the device "
        "has to approve it (`ask`), or it is installed (`auto`).",
    ),
    Setting(
        "media",
        "devices",
        kind.TEXTS,
        [],
        "Patterns for the only devices that are looked at, as `/dev/sd*` or `/dev/disk/by-path/*usb-0:1:1.0*`; empty: whatever "
        "is on USB, is an SD card or says that it is removable. The disk of a slot or of the running system never is.",
    ),
    Setting(
        "media",
        "filesystems",
        kind.some_of(*FILESYSTEMS),
        ["vfat", "exfat", "ext4"],
        "The file systems that are looked into; each one more is more code of the kernel that a stranger's stick can reach.",
    ),
    Setting(
        "media", "pattern", kind.NAME_PATTERN, "*.raucb", "Names of the files that are bundles; case does not matter."
    ),
    Setting("media", "depth", kind.whole(1, 8), 2, "How many levels of directories are looked into; 1: only the top."),
    Setting(
        "media",
        "wait",
        kind.seconds(0, 86400),
        600,
        "Seconds for which an update that is being written waits for its medium to be plugged in again.",
    ),
    Setting(
        "media",
        "socket",
        kind.OPTIONAL_PATH,
        "/run/ota-agent/find.sock",
        "The socket of `ota-agent-find.socket`: where it is, systemd starts each finder in a sandbox of its own. Where it is "
        "not, or with an empty text, the finder is a child of the daemon.",
    ),
)
