"""Two ways to make inputs: seeded mutation of the seeds, which needs nothing, and atheris, which sees the coverage."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fuzz.target import BrokenPromise, Target, Watch, cap_address_space


@dataclass
class Outcome:
    """What one run of one target did; ``finding`` is empty when every promise was kept."""

    target: str
    engine: str
    seed: int
    executions: int
    accepted: int
    seconds: float
    finding: str = ""
    input: str = ""


def mutations(target: Target, seed: int) -> Callable[[], bytes]:
    """Returns a source of inputs that depends on nothing but the seed and the seeds of the target."""
    chooser = random.Random(f"{target.name} {seed}")
    pool = list(target.seeds())

    def make() -> bytes:
        data = chooser.choice(pool)
        for _ in range(chooser.choice((1, 1, 1, 2, 3))):
            data = target.mutate(data, chooser)
        return data[: target.longest]

    return make


def fuzz(target: Target, engine: str, runs: int, seconds: float, seed: int, folder: Path) -> None:
    """Runs a target in this process, writes ``outcome.json`` into the folder, and ends the process."""
    watch = Watch(target)
    started = time.monotonic()

    def finish(finding: str = "", data: bytes = b"") -> None:
        spent = round(time.monotonic() - started, 1)
        outcome = Outcome(target.name, engine, seed, watch.executions, watch.accepted, spent, finding)
        if finding:
            small = minimised(watch, data, finding)
            path = folder / f"finding-{hashlib.sha256(small).hexdigest()[:12]}"
            path.write_bytes(small)
            outcome.input = str(path)
        (folder / "outcome.json").write_text(json.dumps(asdict(outcome)))
        os._exit(bool(finding))  # libFuzzer would go on, or end with a report of its own

    def one(data: bytes) -> None:
        try:
            watch.one(data)
        except BrokenPromise as broken:
            finish(str(broken), data)
        if watch.executions >= runs or (watch.executions % 64 == 0 and time.monotonic() - started > seconds):
            finish()

    watch.start()
    cap_address_space()
    if engine == "atheris":
        _by_atheris(target, one, seed, folder)
    make = mutations(target, seed)
    while True:
        one(make())


def _by_atheris(target: Target, one: Callable[[bytes], None], seed: int, folder: Path) -> None:
    import atheris

    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    seeds = list(target.seeds())
    for data in seeds:
        (corpus / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)

    def mutate(data: bytes, max_size: int, step: int) -> bytes:
        chooser = random.Random(step)
        if chooser.random() < 0.25:  # what libFuzzer keeps is rarely valid any more; the seeds are
            data = chooser.choice(seeds)
        if chooser.random() < 0.3:
            return bytes(atheris.Mutate(data, max_size))
        return target.mutate(data, chooser)[:max_size]

    options = [f"-seed={seed or 1}", f"-max_len={target.longest}", "-rss_limit_mb=0", "-verbosity=0"]
    # Time is judged in CPU seconds by the target itself; this only ends what hangs.
    options += ["-timeout=600", f"-artifact_prefix={folder}/"]
    atheris.Setup(["fuzz", *options, str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


def minimised(watch: Watch, data: bytes, finding: str, seconds: float = 20) -> bytes:
    """Removes what the finding does not need, as far as the time allows; leaks and costs cannot be told apart so."""
    deadline = time.monotonic() + seconds
    width = len(data) // 2
    while width and time.monotonic() < deadline and not finding.startswith("more than"):
        at = 0
        while at < len(data) and time.monotonic() < deadline:
            shorter = data[:at] + data[at + width :]
            try:
                watch.one(shorter)
                at += width
            except BrokenPromise as broken:
                if str(broken).split(":")[0] != finding.split(":")[0]:
                    at += width
                else:
                    data = shorter
        width //= 2
    return data
