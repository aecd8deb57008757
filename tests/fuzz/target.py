"""What a fuzz target is, and what one input may do: the documented errors, little memory, little time, nothing else."""

from __future__ import annotations

import random
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

MEMORY_CAP = 64  # MiB above what the process needed for the seeds
THREAD_STACKS = 32  # MiB of address space for the threads that unpack blocks

Mutate = Callable[[bytes, random.Random], bytes]


class BrokenPromise(BaseException):
    """An input did what no input may do. No ``except Exception`` of a parser can hide it."""


@dataclass(frozen=True)
class Target:
    """One parser under test.

    Args:
        name: as on the command line.
        seeds: makes the inputs to start from; the first use pays for them.
        run: parses one input; raises nothing but ``allowed``, and asserts whatever must hold for accepted inputs.
        allowed: the documented errors.
        mutate: changes an input with knowledge of its structure.
        seconds: CPU time that one input may take.
        share: of the executions of a whole run, relative to the other targets.
        smoke: of the executions in the ordinary tests, relative to the other targets.
        longest: bytes of the longest input.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    run: Callable[[bytes], None]
    allowed: tuple[type[Exception], ...]
    mutate: Mutate
    seconds: float = 1.0
    share: float = 1.0
    smoke: float = 1.0
    longest: int = 64 * 1024


class Watch:
    """Runs inputs of one target and notices what is not allowed."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.executions = 0
        self.accepted = 0
        self._limit = 0

    def start(self) -> None:
        """Runs the seeds, of which at least one must be accepted, and takes the memory needed so far as the baseline."""
        seeds = self.target.seeds()
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")  # the peak of what ran in this process before hides ours
        for seed in seeds:
            self.one(seed)
        if not self.accepted:
            raise BrokenPromise(f"{self.target.name}: no seed is accepted, so that nothing deep is reached")
        self._limit = _peak() + MEMORY_CAP * 1024

    def one(self, data: bytes) -> None:
        """Runs one input; raises BrokenPromise."""
        self.executions += 1
        try:
            with _cpu_limit(self.target.seconds):
                self.target.run(data)
            self.accepted += 1
        except self.target.allowed:
            pass
        except Exception as error:
            raise BrokenPromise(f"{type(error).__name__}: {error}"[:500]) from error
        if self._limit and _peak() > self._limit:
            raise BrokenPromise(f"more than {MEMORY_CAP} MiB of memory")


def cap_address_space() -> None:
    """Makes an allocation of far more than the cap fail at once, even when the pages are never touched."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/status") as status:
        used = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + (MEMORY_CAP + THREAD_STACKS) * 1024 * 1024, hard))


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """CPU time, not wall time: a busy machine makes no finding."""

    def expired(_signal: int, _frame: object) -> None:
        raise BrokenPromise(f"more than {seconds:g} seconds of CPU time")

    before = signal.signal(signal.SIGPROF, expired)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak() -> int:
    """The largest resident memory so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
