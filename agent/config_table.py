"""Every setting there is: one row each.

The rows drive reading, checking, ``ota-agent config show`` and ``docs/configuration.md``. Names are RAUC's where RAUC
has the setting. Pure, and needed only while a configuration is read.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent import config_values as kind
from agent.config_audit import AUDIT_SETTINGS
from agent.config_deployment import DEPLOYMENT_SETTINGS, SOFT
from agent.config_health import HEALTH_SETTINGS
from agent.config_media import MEDIA_SETTINGS
from agent.config_network import NETWORK_SETTINGS
from agent.config_policy import POLICY_SETTINGS
from agent.config_row import REQUIRED, Setting
from agent.config_service import RESTART, SERVICE, SOCKETS
from slots.model import TYPES

__all__ = ["DROP_IN_DIR", "MAIN_FILE", "REQUIRED", "SECTIONS", "SETTINGS", "VENDOR_DIR", "Setting"]

VENDOR_DIR = "/usr/lib/ota-agent"
MAIN_FILE = "/etc/ota-agent/ota-agent.toml"
DROP_IN_DIR = "/etc/ota-agent/conf.d"


SECTIONS: Mapping[str, str] = {
    "system": "The device and the places where the agent looks and writes.",
    "keyring": "Whom to trust as signer of a bundle.",
    "bundle": "Which bundles are acceptable at all.",
    "encryption": "How bundles of the `crypt` format are opened. Without `key` they are refused.",
    "update": "What may be installed, and what happens then.",
    "policy": "Who must agree to an update, and when it may disturb; see [consent](consent.md).",
    "server": "The update server (hawkBit DDI). Without `url` the device is updated from files only.",
    "server.attributes": "What the device tells the server about itself: any key, with a text.",
    "fetcher": "The only process that talks to the network.",
    "installer": "The process that verifies bundles and writes them.",
    "bootloader": "Where the bootloader keeps its choice of slot.",
    "slot": "One table for each slot, `[slot.CLASS.INDEX]`, for example `[slot.rootfs.0]`.",
    "media": "Updates from USB sticks and memory cards, see [offline](offline.md).",
    "health": "What must be true before a new system is confirmed.",
    "audit": "The record of what was decided on this device.",
}

SETTINGS: tuple[Setting, ...] = (
    Setting("system", "compatible", kind.COMPATIBLE, REQUIRED, "Bundles must be made for exactly this name."),
    Setting(
        "system",
        "variant-name",
        kind.OPTIONAL_VARIANT,
        "",
        "Which variant of the device this is: images made for it (`[image.CLASS.VARIANT]`) go before those for all.",
    ),
    Setting(
        "system",
        "variant-file",
        kind.OPTIONAL_PATH,
        "",
        "File whose content is the variant, read before each update. Either this or `variant-name`.",
    ),
    Setting("system", "state-dir", kind.PATH, "/var/lib/ota-agent", "Lasting state; must be shared by all slots."),
    Setting("system", "os-release", kind.PATH, "/etc/os-release", "Tells the version of the running system."),
    Setting(
        "system",
        "version-key",
        kind.OS_RELEASE_KEY,
        "VERSION_ID",
        "The key of os-release with the version; `IMAGE_VERSION` is preferred where it is present.",
    ),
    Setting("system", "cmdline", kind.PATH, "/proc/cmdline", "The kernel's command line, which names the booted slot."),
    Setting("system", "boot-id", kind.PATH, "/proc/sys/kernel/random/boot_id", "Changes with each boot."),
    Setting(
        "system",
        "clock-epoch",
        kind.PATH,
        "/usr/lib/clock-epoch",
        "When this file was last changed is when the system was built, as for systemd: certificates are never checked for "
        "an earlier time. It need not exist.",
    ),
    *SERVICE,
    Setting("system", "bus", kind.BUS, "system", "The message bus to serve D-Bus on; `none` serves nobody."),
    Setting(
        "system", "run-dir", kind.PATH, "/run/ota-agent", "What does not outlast a restart, such as `notice.json`."
    ),
    Setting(
        "keyring",
        "path",
        kind.OPTIONAL_PATH,
        "",
        "PEM file of the trusted certificate authorities and their CRLs. This or `directory` is required, both may be set.",
    ),
    Setting(
        "keyring",
        "directory",
        kind.OPTIONAL_PATH,
        "",
        "Directory of the same in the layout of `openssl rehash`. An entry that cannot be read stops everything.",
    ),
    Setting(
        "keyring",
        "check-purpose",
        kind.one_of("codesign", "smimesign", "any"),
        "codesign",
        "The purpose that the signer's certificate must carry.",
    ),
    Setting(
        "keyring",
        "check-crl",
        kind.BOOLEAN,
        False,
        "Refuse revoked certificates; needs a current CRL of every authority of the chain in the keyring.",
    ),
    Setting(
        "keyring",
        "allow-partial-chain",
        kind.BOOLEAN,
        False,
        "Trust every certificate of the keyring by itself, not only those that are self-signed.",
    ),
    Setting(
        "keyring",
        "allowed-signer-cns",
        kind.TEXTS,
        [],
        "The common names that a signer's certificate may have; empty: any.",
    ),
    Setting(
        "bundle",
        "formats",
        kind.some_of("verity", "crypt", "plain"),
        ["verity", "crypt", "plain"],
        "Accepted bundle formats.",
    ),
    Setting(
        "bundle",
        "allow-hooks",
        kind.BOOLEAN,
        False,
        "Let bundles run programs of their own (hooks and handlers) as root; needs `ota-agent-hooks.conf`, see "
        "[hooks](hooks.md).",
    ),
    Setting("bundle", "hook-timeout", kind.whole(1, 1800), 300, "Seconds that one program of a bundle may take."),
    Setting(
        "encryption",
        "key",
        kind.OPTIONAL_PATH,
        "",
        "PEM file of the private key that encrypted bundles are opened with; only its owner may read it.",
    ),
    Setting(
        "encryption",
        "cert",
        kind.OPTIONAL_PATH,
        "",
        "PEM file of its certificate: only the entry for it is tried, instead of every entry that fits the key.",
    ),
    Setting("update", "allow-downgrade", kind.BOOLEAN, False, "Accept versions lower than the running one."),
    Setting("update", "min-version", kind.VERSION, "", "Refuse bundles below this version, whatever the server says."),
    Setting("update", "reboot", kind.BOOLEAN, True, "Restart by itself when an update is in place."),
    *RESTART,
    Setting(
        "update", "attempts", kind.whole(1, 1000), 12, "Tries of one step before the update is given up as failed."
    ),
    Setting("update", "retry-delay", kind.seconds(0.01, 3600), 2, "Seconds to the second try; doubled each time."),
    SOFT,
    *POLICY_SETTINGS,
    Setting("server", "url", kind.URL, "", "The server's address; empty: no server."),
    Setting("server", "tenant", kind.WORD, "DEFAULT", "The tenant on the server."),
    Setting("server", "controller-id", kind.IDENTIFIER, "", "The device's name on the server; required with `url`."),
    *NETWORK_SETTINGS,
    Setting("server", "poll-min", kind.seconds(0.1, 86400), 30, "Never ask more often than this, in seconds."),
    Setting("server", "poll-max", kind.seconds(1, 604800), 86400, "Never ask less often than this, in seconds."),
    Setting("server", "poll-first-delay", kind.seconds(0, 3600), 30, "Longest random delay before the first poll."),
    Setting("server", "poll-splay", kind.SPLAY, True, "A place of its own in the interval: [polling](polling.md)."),
    Setting("server", "check-interval", kind.seconds(0, 86400), 30, "Least seconds between two checks on demand."),
    Setting("server", "connect-timeout", kind.seconds(0.1, 600), 20, "Seconds to wait for a connection."),
    Setting("server", "read-timeout", kind.seconds(0.1, 3600), 60, "Seconds to wait for the next bytes."),
    *DEPLOYMENT_SETTINGS,
    Setting("server.attributes", "*", kind.ATTRIBUTE, "", 'An attribute, for example `hw-revision = "C"`.'),
    Setting("fetcher", "user", kind.USER, "nobody", "The unprivileged user that talks to the network."),
    *SOCKETS,
    Setting(
        "bootloader",
        "type",
        kind.one_of("uboot", "grub", "efi", "barebox", "raspberrypi", "systemd-boot", "custom", "noop"),
        REQUIRED,
        "Which bootloader the device has; see [bootloaders](bootloaders.md).",
    ),
    Setting(
        "bootloader",
        "fw-env-config",
        kind.PATH,
        "/etc/fw_env.config",
        "U-Boot: the file that says where its environment is, see [U-Boot](uboot.md).",
    ),
    Setting(
        "bootloader",
        "fw-env-namespace",
        kind.OPTIONAL_WORD,
        "",
        "U-Boot: the name of its environment in a `fw-env-config` in YAML; empty: what the device tree says, or the only one.",
    ),
    Setting(
        "bootloader",
        "allow-single-environment",
        kind.BOOLEAN,
        False,
        "U-Boot: accept an environment of one copy. A power cut while it is written then loses all of it.",
    ),
    Setting("bootloader", "grubenv", kind.PATH, "/boot/grub/grubenv", "GRUB: its environment block."),
    Setting(
        "bootloader",
        "boot-attempts",
        kind.whole(1, 99),
        3,
        "Attempts of a slot that is marked good; U-Boot, barebox, and GRUB up to 9 with our script, 1 with RAUC's.",
    ),
    Setting(
        "bootloader",
        "boot-attempts-primary",
        kind.whole(1, 99),
        3,
        "Attempts of a newly installed slot; also systemd-boot.",
    ),
    Setting(
        "bootloader",
        "efi-use-bootnext",
        kind.BOOLEAN,
        True,
        "EFI: boot a new slot once before it becomes the first of the boot order. Without it there is no way back from a "
        "system that starts and then fails.",
    ),
    Setting("bootloader", "efivars", kind.PATH, "/sys/firmware/efi/efivars", "EFI, systemd-boot: where efivarfs is."),
    Setting(
        "bootloader",
        "barebox-statename",
        kind.OPTIONAL_WORD,
        "",
        "barebox: the alias of the state in the device tree; empty: `state`.",
    ),
    Setting(
        "bootloader",
        "barebox-dtbpath",
        kind.OPTIONAL_PATH,
        "",
        "barebox: a device tree blob that describes the state, instead of the running device tree.",
    ),
    Setting(
        "bootloader",
        "autoboot",
        kind.PATH,
        "/boot/firmware/autoboot.txt",
        "Raspberry Pi: the firmware's file, on the first FAT partition.",
    ),
    Setting(
        "bootloader",
        "loader-entries",
        kind.PATH,
        "/boot/loader/entries",
        "systemd-boot: the directory with the boot entries.",
    ),
    Setting(
        "bootloader",
        "custom-backend",
        kind.OPTIONAL_PATH,
        "",
        "custom: the program that knows the bootloader, by RAUC's contract; required with `custom`.",
    ),
    Setting(
        "bootloader",
        "lock-file",
        kind.PATH,
        "/var/lock/fw_printenv.lock",
        "U-Boot: locked around every change of the environment; the default is what `fw_setenv` locks. A `lockfile` in "
        "`fw-env-config` goes first.",
    ),
    Setting(
        "slot", "device", kind.DEVICE, REQUIRED, "The block device or file; `partlabel:NAME` finds a GPT partition."
    ),
    Setting("slot", "type", kind.one_of(*TYPES), "raw", "What is in the slot, see [slots](slots.md)."),
    Setting("slot", "bootname", kind.OPTIONAL_WORD, "", "The bootloader's name for the slot; only on root slots."),
    Setting("slot", "parent", kind.OPTIONAL_WORD, "", "The root slot, `CLASS.INDEX`, that this slot belongs to."),
    Setting("slot", "readonly", kind.BOOLEAN, False, "Never write to this slot."),
    Setting(
        "slot",
        "rescue",
        kind.BOOLEAN,
        False,
        "This is the rescue system, which the boot script starts when no slot boots; see [boot scripts](boot-scripts.md).",
    ),
    Setting(
        "slot",
        "install-same",
        kind.BOOLEAN,
        True,
        "Write an image even if the slot holds it already. With `false` the slot is read, and left alone if it does.",
    ),
    Setting(
        "slot", "resize", kind.BOOLEAN, False, "Only `ext4`: enlarge the file system of an image to fill the slot."
    ),
    Setting(
        "slot",
        "extra-mkfs-opts",
        kind.WORDS,
        [],
        "Only `ext4`, `vfat` and `ubifs`: further arguments for the program that makes the file system for an archive.",
    ),
    Setting(
        "slot",
        "extra-mount-opts",
        kind.OPTIONAL_TEXT,
        "",
        "Only `ext4`, `vfat`, `ubifs` and `jffs2`: further options for mounting the slot, separated by commas.",
    ),
    Setting(
        "slot",
        "allow-devices",
        kind.BOOLEAN,
        False,
        "Only `ext4`, `ubifs` and `jffs2`: make the device nodes that an archive holds; otherwise it is refused.",
    ),
    Setting(
        "slot",
        "region-start",
        kind.BYTES,
        0,
        "Only `boot-mbr-switch`, `boot-gpt-switch` and `boot-raw-fallback`: where the region of both copies begins.",
    ),
    Setting(
        "slot",
        "region-size",
        kind.BYTES,
        0,
        "Only `boot-mbr-switch`, `boot-gpt-switch` and `boot-raw-fallback`, which need it: size of the region of both "
        "copies.",
    ),
    Setting(
        "slot",
        "size-limit",
        kind.BYTES,
        0,
        "Only `boot-emmc`: how much of the boot partition may be used, because something else begins there; 0: all.",
    ),
    *HEALTH_SETTINGS,
    *MEDIA_SETTINGS,
    *AUDIT_SETTINGS,
)
