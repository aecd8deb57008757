"""Every fuzz target, with its seeds and a few thousand seeded mutations: the same inputs each time."""

from __future__ import annotations

import gc
import random

import pytest

from fuzz.engine import mutations
from fuzz.mutate import change_der, parse_der
from fuzz.signature_targets import messages
from fuzz.squashfs_fields import fields_of
from fuzz.target import BrokenPromise, Target, Watch
from fuzz.targets import TARGETS

COUNT = 2000


@pytest.mark.req("T16")
@pytest.mark.parametrize("name", TARGETS)
def test_no_mutation_breaks_a_promise(name: str) -> None:
    gc.collect()  # what other tests have left behind may hold descriptors, which some targets count
    target = TARGETS[name]
    watch = Watch(target)
    watch.start()
    accepted = watch.accepted
    make = mutations(target, 1)
    for _ in range(int(COUNT * target.smoke)):
        watch.one(make())
    assert watch.accepted < watch.executions, "mutations must also be refused"
    assert watch.accepted > accepted, "some mutations must still be accepted, or nothing deep is reached"


def judged(run: object) -> str:
    with pytest.raises(BrokenPromise) as caught:
        Watch(Target("judged", lambda: [b""], run, (KeyError,), lambda data, _: data, seconds=0.05)).one(b"")  # type: ignore[arg-type]
    return str(caught.value)


def test_an_exception_that_is_not_documented_is_a_finding() -> None:
    assert judged(lambda _data: 1 // 0).startswith("ZeroDivisionError")


def test_too_much_cpu_time_is_a_finding_even_where_everything_is_caught() -> None:
    def stubborn(_data: bytes) -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:  # noqa: BLE001  as the boundary of the CMS parser does
                continue

    assert "CPU time" in judged(stubborn)


def test_too_much_memory_is_a_finding_whatever_the_process_needed_before() -> None:
    earlier = b"x" * (300 << 20)
    del earlier
    watch = Watch(
        Target("hungry", lambda: [b""], lambda data: len(b"x" * (len(data) << 20)) and None, (), lambda d, _: d)
    )
    watch.start()
    watch.one(b"1" * 8)
    with pytest.raises(BrokenPromise, match="MiB of memory"):
        watch.one(b"1" * 200)


def test_a_target_whose_seeds_are_all_refused_is_a_finding() -> None:
    with pytest.raises(BrokenPromise, match="no seed is accepted"):
        Watch(Target("blind", lambda: [b""], lambda _data: {}[0], (KeyError,), lambda data, _: data)).start()


def test_changed_der_keeps_its_lengths_right_most_of_the_time() -> None:
    chooser = random.Random(1)
    whole = 0
    for _ in range(300):
        try:
            parse_der(change_der(messages()[0], chooser))
            whole += 1
        except ValueError:
            pass
    assert 150 < whole < 300


def test_the_fields_of_an_image_are_found_behind_the_superblock() -> None:
    bare = [image for image in TARGETS["squashfs"].seeds() if len(fields_of(image)) > 100]
    assert len(bare) >= 4
    for image in bare:
        assert any(at >= int.from_bytes(image[72:80], "little") for at, _ in fields_of(image)), "directory entries"
