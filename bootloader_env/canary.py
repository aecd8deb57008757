"""A harmless proof that a store of variables takes and gives back what is written: a variable that nobody reads.

The bootloader does not know the variable and ignores it; whatever interrupts this leaves the other variables as they were,
because each step is one atomic write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bootloader_env.errors import BootEnvError
from bootloader_env.variables import Store

NAME = "OTA_CANARY"


@contextmanager
def canary(store: Store, value: str) -> Iterator[None]:
    """Writes the variable, has it there inside of the ``with``, and removes it.

    A redundant environment is written twice, so that both of its copies are.

    Args:
        store: where variables are kept.
        value: printable ASCII, short, and another one each time.

    Raises:
        BootEnvError: what the store raises, and ``bootenv.write-failed`` when it gives something else back.
    """
    try:
        store.update(lambda _: {NAME: value})
        found = store.load().get(NAME)
        if found != value:
            raise BootEnvError(
                "bootenv.write-failed", "the boot environment was not stored as it was written",
                details=f"{NAME} is {found!r:.40} instead of {value!r:.40}",
                resolution="check that the storage of the environment is writable and not worn out", retryable=True,
            )  # fmt: skip
        yield
    finally:
        store.update(lambda _: {NAME: None})
