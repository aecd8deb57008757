"""What this device is set up to do: TOML files in, one frozen value for each consumer out.

Read in this order, later files overriding earlier ones key by key: ``/usr/lib/ota-agent/*.toml`` (the vendor's),
``/etc/ota-agent/ota-agent.toml``, ``/etc/ota-agent/conf.d/*.toml``. Files named by ``--config`` are read instead of all
these. A configuration with a problem is refused as a whole, and all its problems are told at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from agent.config_sections import AuditSettings, EncryptionSettings, FetcherSettings, InstallerSettings
from agent.credentials import check as check_secrets
from agent.errors import ConfigError
from agent.secret import Place

if TYPE_CHECKING:  # the table and the TOML parser are loaded by load() only: an idle daemon has no use for them
    from agent.config_resolve import Resolution

MAX_FILES = 64
MAX_FILE_SIZE = 256 * 1024  # bytes
MAX_PROBLEMS = 50  # lines in one message
_RESOLUTION = "correct it, then try: ota-agent config check FILE"


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """``[system]``: the device, and the places where the agent looks and writes."""

    compatible: str
    variant_name: str
    variant_file: Path | None
    state_dir: Path
    os_release: Path
    version_key: str
    cmdline: Path
    boot_id: Path
    clock_epoch: Path
    reboot_command: tuple[str, ...]
    idle_exit: float
    bus: str
    run_dir: Path


@dataclass(frozen=True, slots=True)
class KeyringSettings:
    """``[keyring]``: whom to trust."""

    path: Path | None
    directory: Path | None
    check_purpose: str
    check_crl: bool
    allow_partial_chain: bool
    allowed_signer_cns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BundleSettings:
    """``[bundle]``: which bundles are acceptable at all."""

    formats: tuple[str, ...]
    allow_hooks: bool
    hook_timeout: int


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """``[update]``: what may be installed; ``min_version`` is empty when there is no floor."""

    allow_downgrade: bool
    min_version: str
    reboot: bool
    reboot_warning: float
    reboot_blocked: float
    attempts: int
    retry_delay: float
    soft: str


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """``[policy]``: who must agree, and when an update may disturb. Times are in seconds."""

    profile: str
    approval: str
    auto_security: bool
    auto_functionality: bool
    windows: tuple[str, ...]
    time_zone: str
    power: str
    metered: str
    busy_file: Path | None
    inhibitors: bool
    postpone_count: int
    postpone_total: float
    postpone_longest: float
    motd: Path | None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """``[server]``: the update server; there is none when ``url`` is empty. Times are in seconds, rates in bytes per second."""

    url: str
    tenant: str
    controller_id: str
    target_token_file: Place | None
    gateway_token_file: Place | None
    client_cert: Path | None
    client_key: Place | None
    ca_file: Path | None
    proxy: str
    proxy_auth_file: Place | None
    rebase_links: bool
    download_auth: bool
    max_rate: int
    slow_rate: int
    slow_time: float
    budget_retries: int
    budget_factor: float
    budget_time: float
    poll_min: float
    poll_max: float
    poll_first_delay: float
    poll_splay: bool | float
    check_interval: float
    connect_timeout: float
    read_timeout: float
    confirmation: str
    bundle_part: str
    bundle_name: str
    report_installed: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BootloaderSettings:
    """``[bootloader]``: where the bootloader keeps its choice."""

    type: str
    fw_env_config: Path
    fw_env_namespace: str
    allow_single_environment: bool
    grubenv: Path
    boot_attempts: int
    boot_attempts_primary: int
    efi_use_bootnext: bool
    efivars: Path
    barebox_statename: str
    barebox_dtbpath: Path | None
    autoboot: Path
    loader_entries: Path
    custom_backend: Path | None
    lock_file: Path


@dataclass(frozen=True, slots=True)
class SlotSettings:
    """``[slot.CLASS.INDEX]``; ``name`` is ``CLASS.INDEX``. Sizes and offsets are in bytes."""

    name: str
    slot_class: str
    index: int
    device: str
    type: str
    bootname: str | None
    parent: str | None
    readonly: bool
    rescue: bool
    install_same: bool
    resize: bool
    extra_mkfs_opts: tuple[str, ...]
    extra_mount_opts: str
    allow_devices: bool
    region_start: int
    region_size: int
    size_limit: int


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """``[media]``: updates from what is plugged in. ``wait`` is in seconds."""

    install: str
    devices: tuple[str, ...]
    filesystems: tuple[str, ...]
    pattern: str
    depth: int
    wait: float
    socket: Path | None


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """``[health]``: what must be true before a new system is confirmed. Times are in seconds."""

    units: tuple[str, ...]
    boot_complete: bool
    commands: tuple[tuple[str, ...], ...]
    directory: Path | None
    dbus_names: tuple[str, ...]
    urls: tuple[str, ...]
    tcp: tuple[str, ...]
    mounts: tuple[Path, ...]
    free_space: int
    watchdog: Path | None
    server: bool
    deadline: float
    soak: float
    interval: float
    check_timeout: float
    retries: int
    pstore: tuple[Path, ...]
    bootstatus: Path | None


@dataclass(frozen=True, slots=True)
class Config:
    """One attribute for each section; ``files`` are those that were read, the most important last."""

    system: SystemSettings
    keyring: KeyringSettings
    bundle: BundleSettings
    encryption: EncryptionSettings
    update: UpdateSettings
    policy: PolicySettings
    server: ServerSettings
    fetcher: FetcherSettings
    installer: InstallerSettings
    bootloader: BootloaderSettings
    slots: tuple[SlotSettings, ...]
    health: HealthSettings
    media: MediaSettings
    audit: AuditSettings
    files: tuple[Path, ...]


def load(paths: Sequence[Path] | None = None, *, secrets: bool = True) -> Config:
    """Reads the configuration.

    Args:
        paths: read these files, in order, instead of the standard places.
        secrets: whether the files with secrets are looked at, which a process without privileges cannot.

    Raises:
        ConfigError: ``config.missing`` (no file, or one cannot be read), ``config.invalid`` (all problems, one per
            line), and ``config.token-readable``, ``config.secret-readable``, ``config.secret-owner`` or
            ``config.credential-missing`` for a file with a secret.
    """
    files, resolution = survey(paths)
    if resolution.problems:
        _refuse(resolution.problems)
    config = _build(files, resolution)
    if secrets:
        socket = config.fetcher.socket
        check_secrets(config.server, fetcher_has=socket is not None and socket.is_socket())
    return config


def salvage(paths: Sequence[Path] | None = None) -> Config | None:
    """What can be read of a configuration that ``load`` refuses: only to find the way back from a system on trial.

    Settings with a problem are None; returns None when nothing can be made of the files.
    """
    from agent.config_resolve import Value
    from agent.config_table import SETTINGS

    try:
        files, resolution = survey(paths)
        for name, values in resolution.sections.items():
            section = "slot" if name.startswith("slot.") else name
            for row in SETTINGS:
                if row.section == section and row.key not in (*values, "*"):
                    values[row.key] = Value(None, None)
        return _build(files, resolution)
    except Exception:  # noqa: BLE001 - it is broken anyway, and there is nobody to tell once more
        return None


def survey(paths: Sequence[Path] | None = None) -> tuple[tuple[Path, ...], Resolution]:
    """Reads the files and resolves every setting, without refusing anything but files that cannot be read.

    Raises:
        ConfigError: ``config.missing``, or ``config.invalid`` for a file that is no TOML.
    """
    from agent.config_resolve import resolve
    from agent.config_table import MAIN_FILE

    files = tuple(path.absolute() for path in paths) if paths else _standard_files()
    if not files:
        raise ConfigError(
            "config.missing",
            "there is no configuration",
            details=f"no file {MAIN_FILE}",
            resolution="start from the example ota-agent.toml that comes with the package",
        )
    if len(files) > MAX_FILES:
        _refuse([f"{files[-1].parent}: expected at most {MAX_FILES} files, got {len(files)}"])
    problems: list[str] = []
    documents = [(file, _parse(file, problems)) for file in files]
    if problems:  # what a broken file would have said is unknown: do not complain that it is missing
        _refuse(problems)
    return files, resolve(documents, files[-1] if paths else Path(MAIN_FILE))


def _standard_files() -> tuple[Path, ...]:
    from agent.config_table import DROP_IN_DIR, MAIN_FILE, VENDOR_DIR

    main = Path(MAIN_FILE)
    return (
        *sorted(Path(VENDOR_DIR).glob("*.toml")),
        *((main,) if main.exists() else ()),
        *sorted(Path(DROP_IN_DIR).glob("*.toml")),
    )


def _parse(file: Path, problems: list[str]) -> dict[str, Any]:
    import tomllib

    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise ConfigError(
            "config.missing", f"the configuration {file} cannot be read", details=str(error), resolution=_RESOLUTION
        ) from error
    if len(data) > MAX_FILE_SIZE:
        problems.append(f"{file}: expected at most {MAX_FILE_SIZE} bytes, got more")
        return {}
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: no UTF-8, no TOML, or a number beyond Python's limit
        problems.append(f"{file}: expected TOML, got: {str(error)[:200]}")
        return {}


def _refuse(problems: Sequence[str]) -> NoReturn:
    count = len(problems)
    lines = [*problems[:MAX_PROBLEMS], *([f"and {count - MAX_PROBLEMS} more"] if count > MAX_PROBLEMS else [])]
    raise ConfigError(
        "config.invalid",
        f"the configuration has {count} problem{'s' if count > 1 else ''}",
        details="\n".join(lines),
        resolution=_RESOLUTION,
    )


def _build(files: tuple[Path, ...], resolution: Resolution) -> Config:
    def section(name: str) -> dict[str, Any]:
        return {key.replace("-", "_"): value.value for key, value in resolution.sections[name].items()}

    attributes = {key: str(value.value) for key, value in resolution.sections["server.attributes"].items()}
    return Config(
        system=SystemSettings(**section("system")),
        keyring=KeyringSettings(**section("keyring")),
        bundle=BundleSettings(**section("bundle")),
        encryption=EncryptionSettings(**section("encryption")),
        update=UpdateSettings(**section("update")),
        policy=PolicySettings(**section("policy")),
        server=ServerSettings(**section("server"), attributes=MappingProxyType(attributes)),
        fetcher=FetcherSettings(**section("fetcher")),
        installer=InstallerSettings(**section("installer")),
        bootloader=BootloaderSettings(**section("bootloader")),
        slots=tuple(_slot(name, section(name)) for name in resolution.sections if name.startswith("slot.")),
        health=HealthSettings(**section("health")),
        media=MediaSettings(**section("media")),
        audit=AuditSettings(**section("audit")),
        files=files,
    )


def _slot(section: str, values: dict[str, Any]) -> SlotSettings:
    _, slot_class, index = section.split(".")
    values["bootname"] = values["bootname"] or None
    values["parent"] = values["parent"] or None
    return SlotSettings(name=f"{slot_class}.{index}", slot_class=slot_class, index=int(index), **values)
