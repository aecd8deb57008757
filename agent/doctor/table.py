"""Everything that ``ota-agent doctor`` looks at: one row each, in the order in which it is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is looked at.

    Attributes:
        looks: what must be true.
        why: why it matters.
        fix: what to do when it is not so.
    """

    looks: str
    why: str
    fix: str


SECTIONS: Mapping[str, str] = {
    "doctor": "The examination itself",
    "config": "Configuration",
    "boot": "Boot environment",
    "slot": "Slots",
    "state": "Lasting state",
    "kernel": "Kernel",
    "program": "Programs",
    "clock": "Clock",
    "trust": "Whom bundles are believed",
    "server": "Server",
    "health": "Health",
    "media": "Sticks and cards",
    "service": "Service",
}

ROWS: Mapping[str, Row] = {
    "doctor.rights": Row(
        "The examination runs as root.",
        "Other users cannot look at devices and keys, so that much stays unknown.",
        "repeat it as root, for example with sudo",
    ),
    "doctor.check": Row(
        "Every check comes to an end.",
        "What could not be looked at may hide something.",
        "report it together with this message",
    ),
    "config.valid": Row(
        "The configuration is right.",
        "The daemon refuses to start with one that is not.",
        "correct it, then try: ota-agent config check",
    ),
    "config.slots": Row(
        "The slots of the configuration make at least two groups.",
        "Without a second group there is no slot that an update could go to.",
        "give every root slot its own bootname, and every other slot a root slot as its parent",
    ),
    "boot.environment": Row(
        "The boot environment can be read.",
        "Without it no update is installed, and a healthy boot cannot be marked good.",
        "check the settings of [bootloader], and that the bootloader has written its environment once",
    ),
    "boot.redundant": Row(
        "A power cut during a write leaves a complete environment.",
        "With a single copy, or on a file system without atomic rename, a power cut may leave none.",
        "enable the redundant environment in U-Boot and name both copies in fw_env.config",
    ),
    "boot.fallback": Row(
        "The bootloader goes back by itself when a new system does not come up.",
        "Where it does not, a system that cannot start stays the choice until somebody comes.",
        "use a bootloader that counts attempts, and a hardware watchdog",
    ),
    "boot.origin": Row(
        "The environment is the one that U-Boot boots from: it holds `bootcmd`.",
        "An environment at another place or of another size than U-Boot's is never read by it: the switch would have no "
        "effect.",
        "compare fw_env.config with CONFIG_ENV_OFFSET, CONFIG_ENV_OFFSET_REDUND and CONFIG_ENV_SIZE of U-Boot",
    ),
    "boot.canary": Row(
        "A variable can be written, read and removed again.",
        "The switch to a new system is one such write. A redundant environment is written twice, so that both copies are "
        "proven.",
        "check that the storage of the environment is writable and not worn out",
    ),
    "boot.tool": Row(
        "The usual tool (`fw_printenv`, `grub-editenv`) is installed and sees the same as the agent.",
        "The timer that ends a trial nobody judges needs it; and where the two differ, one of them looks at another place.",
        "install it, and let it use the same configuration as the agent",
    ),
    "boot.order": Row(
        "The boot order holds the running slot, and no slot that the configuration does not know.",
        "A slot that is not in the order does not boot after the next restart.",
        "compare the bootnames in the configuration with the boot script; an update repairs the order",
    ),
    "boot.rescue": Row(
        "A slot is running, not the rescue system.",
        "The boot script starts the rescue system when no slot has attempts left or can be loaded.",
        "install an update: it goes to the first slot, and the device restarts into it",
    ),
    "boot.variables": Row(
        "Every slot has its variables.",
        "Boot scripts replace a missing count by a full one, also for a slot that holds nothing.",
        "set them once, to no attempts for an empty slot: for example fw_setenv BOOT_B_LEFT 0",
    ),
    "boot.next": Row(
        "The running slot boots next.",
        "The next restart may lead into another system than the one that runs, or have nothing to fall back to.",
        "wait for the end of the update, or install one; else find out who has changed the boot order",
    ),
    "boot.attempts": Row(
        "The running slot has all its attempts.",
        "A slot that is never marked good loses one attempt with each boot, and its turn in the end.",
        "let the daemon run; if this stays, its health checks are red: see its journal",
    ),
    "boot.trial": Row(
        "No update is on trial.",
        "Until the trial has ended some checks would disturb it and are left out.",
        "repeat the examination after the end of the trial",
    ),
    "slot.booted": Row(
        "It is known which slot is running.",
        "Nothing is installed while that is not known: the running slot could be overwritten.",
        "let the bootloader pass ota.slot=BOOTNAME on the kernel's command line",
    ),
    "slot.device": Row(
        "The device of each slot exists, is storage, and carries its name alone.",
        "An update for a slot without a device is refused; two devices with one label are never guessed between.",
        "check the partition table and the slot's device in the configuration",
    ),
    "slot.distinct": Row(
        "No two slots share storage.",
        "Writing one would destroy the other.",
        "give every slot its own device in the configuration",
    ),
    "slot.size": Row(
        "Slots of one class have the same size.",
        "An image that fits into one of them may not fit into the other: every second update fails.",
        "make the partitions equal, or keep images below the smaller one",
    ),
    "slot.content": Row(
        "A slot holds the kind of file system that its type says.",
        "The wrong device in the configuration is the likeliest reason, and the next update would overwrite it.",
        "compare the slot's device and type with the partition table",
    ),
    "slot.in-use": Row(
        "Nothing uses the slots that do not run.",
        "A slot that is mounted is never written to: updates are refused.",
        "unmount it, and remove it from fstab; nothing may mount the slots that are not running",
    ),
    "slot.protected": Row(
        "Slots that updates go to can be written.",
        "An update to a write-protected slot is refused.",
        "remove the write protection, or configure readonly = true if it is meant",
    ),
    "slot.target": Row(
        "There is a slot that the next update goes to.",
        "Without one every update is refused.",
        "configure a second writable slot of the class of the running one",
    ),
    "slot.status": Row(
        "It is known what each slot holds, and that it is complete.",
        "A fallback that is incomplete or damaged is none; one whose digest is unknown cannot be scrubbed.",
        "install an update: it writes the slot that is not running",
    ),
    "slot.root-argument": Row(
        "The kernel's command line does not name the root file system by a UUID or label that slots share.",
        "Slots with the same image have the same UUID: the kernel may mount the other slot than the one that was chosen.",
        "name the partition: root=PARTUUID=... or root=PARTLABEL=...",
    ),
    "state.directory": Row(
        "The state directory is a directory of root's that nobody else can read.",
        "The daemon does not start without it; it holds what the device knows of its updates.",
        "make system.state-dir a directory with mode 0700",
    ),
    "state.place": Row(
        "The state directory is not in a slot.",
        "Its content would be gone with the next update, and after a switch the other slot would know nothing of it.",
        "put system.state-dir on a partition that all slots share",
    ),
    "state.volatile": Row(
        "The state directory outlasts a restart.",
        "After the restart into a new system nobody would know what was under way, and the server would not be told.",
        "put system.state-dir on a file system that is stored",
    ),
    "state.writable": Row(
        "The file system of the state directory is mounted for writing.",
        "An update whose progress cannot be remembered is not installed.",
        "mount it for writing; check it when the kernel has made it read-only",
    ),
    "state.documents": Row(
        "Everything in the state directory can be read.",
        "What was put aside as unreadable shows a storage that fails, or an agent that was newer.",
        "look at the *.broken files, check the storage, then delete them",
    ),
    "state.space": Row(
        "There is room in the state directory.",
        "An update whose progress cannot be remembered is not installed.",
        "free space on the file system of system.state-dir",
    ),
    "state.spool": Row(
        "A plain bundle from the server can be kept.",
        "Plain bundles are fetched whole before they are installed; verity bundles need no room.",
        "deploy verity bundles, and take plain out of bundle.formats",
    ),
    "kernel.direct-io": Row(
        "Slots can be read and written past the page cache (O_DIRECT).",
        "Without it pages are dropped from the cache before a slot is read back, which costs time.",
        "use a file system or a device that supports O_DIRECT",
    ),
    "kernel.namespaces": Row(
        "The kernel has namespaces (CONFIG_NET_NS; for hooks CONFIG_PID_NS too).",
        "The installer gives up the network with one; programs of bundles are refused without.",
        "enable CONFIG_NAMESPACES, CONFIG_NET_NS and CONFIG_PID_NS",
    ),
    "kernel.filesystems": Row(
        "The kernel knows the file systems of the slots that may have to be mounted.",
        "Hooks and archives need the slot mounted.",
        "enable the file system in the kernel, or install its module",
    ),
    "program.reboot": Row(
        "logind, or the restart command, can restart the device.",
        "Without that no update gets beyond its installation; without logind nobody is warned of a restart.",
        "install systemd-logind and D-Bus, or correct system.reboot-command",
    ),
    "program.health": Row(
        "The commands of [health] exist.",
        "A check that cannot be run is red: every new system would be reverted.",
        "correct health.commands, or install what is missing",
    ),
    "program.slots": Row(
        "The programs that write the configured types of slots are installed.",
        "Flash is written by the usual tools only, and archives need a new file system.",
        "install the package that holds the program",
    ),
    "clock.synchronised": Row(
        "The clock is synchronised.",
        "Certificates are checked for the time of the clock.",
        "run a time service, such as systemd-timesyncd",
    ),
    "clock.past": Row(
        "The clock is not behind the build of the running system, nor behind the newest confirmed bundle.",
        "It is certainly wrong then; certificates are checked for the later time, but the server's may be refused.",
        "set the clock, give it a battery, or let a time service set it before the agent starts",
    ),
    "trust.keyring": Row(
        "The keyring can be read and has an anchor.",
        "Every bundle is refused without one.",
        "name the PEM file, or the directory, that holds the trusted root certificate",
    ),
    "trust.certificates": Row(
        "No certificate of the keyring has expired, or will within 180 days.",
        "When the last anchor has expired no bundle is accepted any more, not even one that brings a new keyring.",
        "deploy an update with the successor of the certificate in its keyring, in time",
    ),
    "trust.crl": Row(
        "No list of revoked certificates is out of date, or will be within 30 days.",
        "With keyring.check-crl every bundle is refused as soon as a list that counts is out of date.",
        "deploy an update with a new list, or one that is valid for longer",
    ),
    "trust.encryption-key": Row(
        "The key for encrypted bundles can be read, by its owner only.",
        "Encrypted bundles are refused without it; a key that others can read opens them for anybody.",
        "name the PEM file of the key, and give it mode 0600",
    ),
    "server.configured": Row(
        "There is a server to ask.",
        "Without one the device is updated from files only.",
        "set server.url if that is not meant",
    ),
    "server.token": Row(
        "The token for the server can be read, by its owner only.",
        "Without it the server does not know the device; one that others can read lets them pretend to be this device.",
        "put the token into the file, and give it mode 0600",
    ),
    "server.client-key": Row(
        "Certificate and key of the device can be read, the key by its owner only.",
        "Without them the server does not know the device; a key that others can read lets them pretend to be this device.",
        "put them where server.client-cert and server.client-key say, and give the key mode 0600",
    ),
    "server.client-cert": Row(
        "The certificate of the device is valid for more than 30 days.",
        "When it has expired the server does not accept the device, and no update comes any more.",
        "have a new certificate issued, and put it in the place of the old one",
    ),
    "server.proxy": Row(
        "The login for the proxy can be read, by its owner only.",
        "Without it the proxy lets no connection through.",
        "put one line user:password into server.proxy-auth-file, and give it mode 0600",
    ),
    "server.ca-file": Row(
        "The authorities of the server can be read, and one of them is valid for more than 180 days.",
        "When they have expired the server is not believed, and no update comes any more.",
        "deploy an update with the successor of the authority, in time",
    ),
    "server.user": Row(
        "The user that talks to the network exists.",
        "The fetcher refuses to talk to the network as root.",
        "make the user, or set fetcher.user to one that exists",
    ),
    "health.programs": Row(
        "The programs in the directory of health checks can be run, and only root can change them.",
        "One that cannot be run is red: every new system would be reverted.",
        "chown root, chmod 755, or give what is no program a name with a dot in it; see docs/health.md",
    ),
    "health.panics": Row(
        "The last words of a kernel that panicked can be found after the restart.",
        "Without them a panic of a new system is reported as one that did not come up.",
        "give the kernel a pstore: ramoops, EFI or pstore_blk; see docs/health.md",
    ),
    "health.resets": Row(
        "A watchdog tells whether it has caused the last reset.",
        "Without that a new system that hangs is reported as a power cut.",
        "use a watchdog whose driver reports WDIOF_CARDRESET; see docs/health.md",
    ),
    "media.filesystems": Row(
        "The kernel knows the file systems that sticks and cards are expected to have.",
        "A medium with another one cannot be mounted, and nothing on it is installed.",
        "enable the file system in the kernel, or take it out of media.filesystems",
    ),
    "media.events": Row(
        "The kernel's events are heard.",
        "Without pyudev and libudev nobody notices what is plugged in.",
        "install the Python package pyudev",
    ),
    "media.finder": Row(
        "Under systemd, media are mounted by a finder in a sandbox of its own.",
        "The sandbox of the daemon does not allow mounting.",
        "systemctl enable --now ota-agent-find.socket",
    ),
    "service.unit": Row(
        "The service is running.",
        "No update comes while it does not; nobody marks this boot good.",
        "systemctl enable --now ota-agent; systemctl status ota-agent tells why it does not run",
    ),
    "service.sockets": Row(
        "Under systemd, fetcher and installer are started through their sockets.",
        "The sandbox of the service gives its own children no network: nothing is downloaded.",
        "systemctl enable --now ota-agent-fetch.socket ota-agent-install.socket",
    ),
    "service.trial-guard": Row(
        "The timer that ends a trial nobody judges is active.",
        "A new system whose agent hangs would stay on trial for ever.",
        "systemctl enable --now ota-agent-trial.timer",
    ),
    "service.watchdog": Row(
        "A hardware watchdog restarts a system that hangs.",
        "A new kernel that hangs never uses up its attempts: the device waits for somebody to switch it off and on.",
        "set RuntimeWatchdogSec= in /etc/systemd/system.conf, and let the bootloader start the watchdog",
    ),
}
