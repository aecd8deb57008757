"""What is in the root of a guest beside packages: the choice of services, and files that a board's integrator writes."""

from __future__ import annotations

MACHINE_ID = "6f74612d6167656e7400000000000002"
FACTORY = "/var/factory"  # on the data partition: what the factory has given this device, its name and its keys

# Patterns of tar for what only maintainer scripts, and people who log in, need.
_FILES_LEFT_OUT = (
    *(f"./usr/share/{name}" for name in (
        "doc", "doc-base", "man", "info", "locale", "lintian", "bash-completion", "zsh", "bug", "perl", "perl5", "i18n",
        "debconf", "menu", "pixmaps", "gcc", "gdb", "sgml", "xml", "bsd", "tabset", "readline", "grub", "initramfs-tools",
        "common-licenses",
    )),
    "./usr/lib/*/perl*", "./usr/lib/*/gconv", "./usr/lib/*/libperl*", "./usr/lib/locale", "./usr/bin/perl*",
    "./usr/bin/dpkg*", "./usr/bin/apt*", "./usr/lib/apt", "./usr/lib/dpkg", "./usr/sbin/*debconf*", "./var/*",
    "./lib/udev/hwdb.d", "./lib/udev/hwdb.bin", "./usr/lib/grub", "./usr/lib/systemd/boot", "./usr/lib/kernel",
    "./usr/lib/valgrind",
    "./usr/lib/python3*/test", "./usr/lib/python3*/idlelib", "./usr/lib/python3*/lib2to3", "./usr/lib/python3*/ensurepip",
    "./usr/lib/python3*/pydoc_data", "./usr/lib/python3*/distutils", "./usr/lib/python3*/turtle*", "./usr/lib/python3*/tkinter",
    "./etc/cron*", "./etc/init.d", "./etc/rc?.d", "./etc/apt", "./etc/logcheck", "./etc/kernel", "./etc/xml", "./etc/sgml",
    "./usr/lib/tmpfiles.d/provision.conf", "./usr/lib/tmpfiles.d/home.conf", "./usr/lib/tmpfiles.d/x11.conf",
)  # fmt: skip
# Rules for hardware that the boards do not have: each line is looked at for each device.
_RULES = (
    "60-autosuspend", "60-cdrom_id", "60-drm", "60-evdev", "60-fido-id", "60-infiniband", "60-input-id", "60-persistent-alsa",
    "60-persistent-input", "60-persistent-storage-tape", "60-persistent-v4l", "60-sensor", "60-serial", "64-btrfs", "70-camera",
    "70-joystick", "70-memory", "70-mouse", "70-touchpad", "70-power-switch", "70-uaccess", "78-sound-card", "85-hwclock",
    "96-e2scrub", "81-net-dhcp", "80-debian-compat", "71-seat", "73-seat-late", "73-special-net-names", "75-net-description",
)  # fmt: skip
LEFT_OUT = (*_FILES_LEFT_OUT, *(f"./*/udev/rules.d/{name}.rules" for name in _RULES))
# Each unit costs time at each boot, and an emulated processor is slow.
MASKED = (
    "getty.target", "systemd-timesyncd.service", "systemd-resolved.service", "systemd-firstboot.service",
    "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-random-seed.service",
    "systemd-sysusers.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount",
    "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount", "modprobe@.service", "systemd-machine-id-commit.service", "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service", "systemd-update-done.service", "ldconfig.service", "systemd-repart.service",
    "systemd-ask-password-console.path", "systemd-ask-password-wall.path", "systemd-boot-system-token.service",
    "systemd-fsck-root.service", "systemd-remount-fs.service", "cryptsetup.target", "systemd-rfkill.socket",
    "systemd-initctl.socket", "systemd-tmpfiles-clean.timer", "systemd-network-generator.service",
    "systemd-networkd-wait-online.service", "systemd-sysext.service", "systemd-sysext.socket", "remote-fs.target",
    "systemd-pcrphase.service", "systemd-pcrmachine.service", "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase-initrd.service", "systemd-sysctl.service", "systemd-user-sessions.service",
    "systemd-fsckd.socket", "systemd-fsckd.service",
    "integritysetup.target",
    "veritysetup.target", "kmod-static-nodes.service", "systemd-journald-audit.socket", "e2scrub_all.timer",
    "e2scrub_reap.service", "fstrim.timer", "grub-common.service",
)  # fmt: skip
ENABLED = ("systemd-pstore.service", "board-network.service", "board-shell.service")

# /etc/fstab is all that there is to find out about a board whose partitions are known.
GENERATORS = (
    "cryptsetup", "debug", "getty", "gpt-auto", "hibernate-resume", "integritysetup", "rc-local", "run", "system-update",
    "sysv", "veritysetup",
)  # fmt: skip
# Disks must be in udev's database before anything can wait for them; modules of the board are loaded by name.
_TRIGGER = "udevadm trigger --type=devices --action=add --subsystem-match=block --subsystem-match=net"

# Walls around Debian's own daemons are programs for BPF, which take a processor that is emulated seconds to make. The agent's
# units keep theirs.
_WALLS = (
    *(f"{name}=" for name in ("IPAddressDeny", "DeviceAllow", "SystemCallFilter", "SystemCallArchitectures")),
    "RestrictAddressFamilies=",
    *(f"{name}=no" for name in (
        "LockPersonality", "MemoryDenyWriteExecute", "NoNewPrivileges", "ProtectClock", "ProtectControlGroups", "ProtectHome",
        "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectSystem", "PrivateMounts", "PrivateTmp",
        "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID",
    )),
)  # fmt: skip
_OPENED = {
    f"etc/systemd/system/systemd-{name}.service.d/walls.conf": "\n".join(["[Service]", *_WALLS, ""])
    for name in ("journald", "udevd", "logind")
}

FILES = {
    **_OPENED,
    "etc/hostname": "board\n",
    "etc/hosts": "127.0.0.1 localhost board\n",
    "etc/machine-id": MACHINE_ID + "\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\n",
    "etc/fstab": (
        "PARTLABEL=data /var ext4 nosuid,nodev 0 2\n"
        "PARTLABEL=boot /boot/firmware vfat nofail,nosuid,nodev,noexec,umask=0077 0 0\n"
        "tmpfs /tmp tmpfs mode=1777,nosuid,nodev 0 0\n"
    ),
    "etc/pam.d/common-auth": "auth required pam_unix.so\n",
    "etc/pam.d/common-account": "account required pam_unix.so\n",
    "etc/pam.d/common-password": "password required pam_unix.so\n",
    "etc/pam.d/common-session": "session required pam_unix.so\nsession optional pam_systemd.so\n",
    "etc/pam.d/common-session-noninteractive": "session required pam_unix.so\n",
    # An emulated board on a busy host is slow. Where there is a watchdog, it resets a system that hangs.
    "etc/systemd/system.conf.d/board.conf": (
        "[Manager]\nDefaultTimeoutStartSec=300\nDefaultDeviceTimeoutSec=300\nDefaultTimeoutStopSec=30\n"
        "RuntimeWatchdogSec=30\nRebootWatchdogSec=60\n"
    ),
    "etc/systemd/journald.conf.d/board.conf": (
        "[Journal]\nStorage=persistent\nSystemMaxUse=24M\nSyncIntervalSec=5s\nRateLimitBurst=0\n"
    ),
    # QEMU's user network: the address that its DHCP would give, and 10.0.2.2 is the host.
    "etc/systemd/system/board-network.service": (
        "[Unit]\nDescription=Network of the board\nDefaultDependencies=no\nConditionPathExists=/sys/class/net/eth0\n"
        "After=systemd-modules-load.service\nBefore=network.target\nWants=network.target\n\n"
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        "ExecStart=ip link set lo up\n"
        "ExecStart=ip address replace 10.0.2.15/24 dev eth0\n"
        "ExecStart=ip link set eth0 up\n"
        "ExecStart=ip route replace default via 10.0.2.2\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    ),
    # A system that cannot mount its disks is of no use to anybody: the bootloader shall choose another one.
    "etc/systemd/system/emergency.service": (
        "[Unit]\nDescription=Restart of a system that cannot boot\nDefaultDependencies=no\n\n"
        "[Service]\nType=oneshot\nExecStart=systemctl --force reboot\n"
    ),
    "etc/systemd/system/systemd-udev-trigger.service.d/board.conf": f"[Service]\nExecStart=\nExecStart=-{_TRIGGER}\n",
    "etc/modules-load.d/board.conf": "virtio_console\nvirtio_net\n",
    # Debian makes these in maintainer scripts, and rules of udev name them.
    "usr/lib/sysusers.d/board.conf": "g input -\ng kvm -\ng render -\ng sgx -\n",
    # For the harness, not part of any package: commands from a port that a device does not have.
    "etc/systemd/system/board-shell.service": (
        "[Unit]\nDescription=Shell of the harness\nConditionPathExists=/dev/hvc0\nDefaultDependencies=no\n"
        "After=systemd-modules-load.service\nIgnoreOnIsolate=yes\n\n"
        "[Service]\nExecStart=/usr/lib/board/shell\nEnvironment=HOME=/root LANG=C.UTF-8\nRestart=always\nRestartSec=1\n\n"
        "[Install]\nWantedBy=sysinit.target\n"
    ),
    # Line by line: the first one may have lost its beginning, and a quote that is left open must not swallow those after it.
    "usr/lib/board/shell": (
        "#!/usr/bin/bash\nexec </dev/hvc0 >/dev/hvc0 2>&1\nstty raw -echo\n"
        'while IFS= read -r line; do eval "$line"; done\n'
    ),
}
LINKS = {
    # Names of network devices stay as the kernel gives them (systemd.link(5)).
    "etc/systemd/network/99-default.link": "/dev/null",
    "etc/mtab": "../proc/self/mounts",
    "etc/resolv.conf": "../run/systemd/resolve/resolv.conf",
    "etc/localtime": "../usr/share/zoneinfo/UTC",
    "etc/systemd/system/default.target": "/lib/systemd/system/multi-user.target",
    "etc/ota-agent/conf.d": FACTORY,
    "usr/bin/awk": "mawk",
    "usr/bin/sh": "dash",
}
# What a system brings in which the network is forgotten.
NO_NETWORK = {"etc/systemd/system/board-network.service": "[Service]\nType=oneshot\nExecStart=true\n"}
