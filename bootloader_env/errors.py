"""What can go wrong with the boot environment, in the shape that the whole project uses for its errors."""

from __future__ import annotations


class BootEnvError(Exception):
    """The boot environment cannot be read or changed.

    Args:
        code: stable, dotted, lower case, beginning with ``bootenv.``.
        brief: one sentence for a person, without a final full stop.
        details: why: the observed facts.
        resolution: what the reader can do about it.
        retryable: trying the same again later may succeed.
    """

    def __init__(
        self, code: str, brief: str, *, details: str = "", resolution: str = "", retryable: bool = False
    ) -> None:
        super().__init__(brief)
        self.code = code
        self.brief = brief
        self.details = details
        self.resolution = resolution
        self.retryable = retryable

    def __str__(self) -> str:
        text = f"{self.brief}: {self.details}" if self.details else self.brief
        return f"{text} [{self.code}]"


def io_failed(brief: str, error: OSError) -> BootEnvError:
    """Makes the error for a failed system call."""
    return BootEnvError(
        "bootenv.io",
        brief,
        details=str(error),
        resolution="check that the device exists, is writable and is the one that the bootloader uses",
        retryable=True,
    )
