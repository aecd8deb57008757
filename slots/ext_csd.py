"""The register EXT_CSD of an eMMC, of which only the boot configuration matters here (JESD84-B51, 7.4): a pure codec."""

from __future__ import annotations

from dataclasses import dataclass

LENGTH = 512  # bytes
PARTITION_CONFIG = 179  # 7.4.69: bit 6 BOOT_ACK, bits 5:3 BOOT_PARTITION_ENABLE, bits 2:0 PARTITION_ACCESS
BOOT_WP_STATUS = 174  # bits 1:0 for the first boot partition, 3:2 for the second one
USER_AREA = 7
_ENABLE_SHIFT, _ENABLE_MASK = 3, 0b111 << 3
_PROTECTED = {1: "until the next power-on", 2: "for ever"}


@dataclass(frozen=True, slots=True)
class BootConfig:
    """What the card is told to boot from.

    Attributes:
        value: the byte PARTITION_CONFIG.
        protection: the byte BOOT_WP_STATUS; zero on cards from before it was there.
    """

    value: int
    protection: int

    @classmethod
    def of(cls, register: bytes) -> BootConfig:
        """From the whole register."""
        return cls(register[PARTITION_CONFIG], register[BOOT_WP_STATUS])

    @property
    def enabled(self) -> int:
        """BOOT_PARTITION_ENABLE: 0 nothing, 1 and 2 the boot partitions, 7 the user area; others are reserved."""
        return (self.value & _ENABLE_MASK) >> _ENABLE_SHIFT

    @property
    def active(self) -> int | None:
        """The N of the ``mmcblkXbootN`` that boots, or None when neither does."""
        return self.enabled - 1 if self.enabled in (1, 2) else None

    def protected(self, number: int) -> str:
        """For how long ``mmcblkXbootN`` is write-protected by the card itself; empty when it is not."""
        return _PROTECTED.get(self.protection >> 2 * number & 0b11, "")

    def booting(self, number: int) -> int:
        """The byte PARTITION_CONFIG with which ``mmcblkXbootN`` boots.

        All other bits stay: some ROM codes need BOOT_ACK, and PARTITION_ACCESS is the kernel's own business.
        """
        return self.value & ~_ENABLE_MASK | number + 1 << _ENABLE_SHIFT
