"""U-Boot of boards with a redundant environment on an SD card, built from Debian's source package.

Debian's own build for this machine keeps its environment in a flash that QEMU 7.2 cannot write to.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from boot.lab.cache import cached, home
from boot.lab.debs import fetch_source

STOCK = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
COPY_SIZE = 0x10000
COPIES = (0x100000, 0x110000)
# The card is found by listing what is there. It hangs on PCI, which is up only after U-Boot has read its environment.
_PREBOOT = "pci enum; mmc list; env load"
# Transfers by SDMA end in a time limit when QEMU has little time.
_OPTIONS = f"""\
# CONFIG_ENV_IS_IN_FLASH is not set
CONFIG_ENV_IS_IN_MMC=y
CONFIG_SYS_REDUNDAND_ENVIRONMENT=y
CONFIG_ENV_SIZE={COPY_SIZE:#x}
CONFIG_ENV_OFFSET={COPIES[0]:#x}
CONFIG_ENV_OFFSET_REDUND={COPIES[1]:#x}
CONFIG_SYS_MMC_ENV_DEV=0
CONFIG_PCI_INIT_R=y
CONFIG_MMC=y
CONFIG_DM_MMC=y
CONFIG_MMC_PCI=y
CONFIG_MMC_SDHCI=y
# CONFIG_MMC_SDHCI_SDMA is not set
CONFIG_CMD_MMC=y
CONFIG_CMD_NVEDIT_LOAD=y
CONFIG_BOOTDELAY=-2
CONFIG_USE_PREBOOT=y
CONFIG_PREBOOT="{_PREBOOT}"
CONFIG_USE_DEFAULT_ENV_FILE=y
CONFIG_DEFAULT_ENV_FILE="defaults.env"
"""


def redundant(defaults: str) -> Path:
    """Builds it, unless that was done before; it takes about a minute.

    Args:
        defaults: the environment that is compiled in, a variable a line.

    Returns:
        The image for QEMU's option ``-bios``.
    """
    source = fetch_source("u-boot")
    text = f"preboot={_PREBOOT}\n{defaults}"
    return cached("uboot", [source.name, _OPTIONS, text], lambda path: _build(path, source, text))


def _build(path: Path, source: Path, defaults: str) -> None:
    with tempfile.TemporaryDirectory(prefix=".uboot-", dir=home()) as directory:
        tree = Path(directory) / "u-boot"
        _run("dpkg-source", "--no-check", "-x", next(source.glob("*.dsc")), tree, cwd=Path(directory))
        (tree / "defaults.env").write_text(defaults)
        (tree / "board.config").write_text(_OPTIONS)
        _run("make", "qemu_arm64_defconfig", cwd=tree)
        _run("scripts/kconfig/merge_config.sh", "-m", ".config", "board.config", cwd=tree)
        _run("make", "olddefconfig", cwd=tree)
        _run("make", f"-j{os.cpu_count()}", "u-boot.bin", cwd=tree)
        (tree / "u-boot.bin").rename(path)


def _run(*command: str | Path, cwd: Path) -> None:
    environment = {**os.environ, "CROSS_COMPILE": "aarch64-linux-gnu-", "SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stdout[-1000:]}{done.stderr[-3000:]}")
