"""What the agent does while there is nothing to do: nothing."""

from __future__ import annotations

import re
import time

import pytest
from support.nspawn.device import Device

pytestmark = [pytest.mark.root, pytest.mark.slow]
UNIT = "ota-agent.service"
_LOOK = 2.0  # seconds of which nothing may be seen


def wakeups(device: Device) -> dict[str, int]:
    """How often each thread of each process of the service has gone to sleep since it began, which is once for each wake-up."""
    names = "$(cat /sys/fs/cgroup$1/cgroup.procs /sys/fs/cgroup/unified$1/cgroup.procs /sys/fs/cgroup/systemd$1/cgroup.procs)"
    group = device.machine.show(UNIT, "ControlGroup")["ControlGroup"]
    script = f"exec 2>/dev/null; for pid in {names}; do grep -H ^voluntary /proc/$pid/task/*/status; done"
    text = device.machine.run("sh", "-c", script, "sh", group)
    found = re.findall(r"/proc/(\d+/task/\d+)/status:voluntary_ctxt_switches:\s+(\d+)", text)
    return {thread: int(count) for thread, count in found}


@pytest.mark.req("C15")
def test_no_thread_wakes_up_between_two_polls(quiet: Device) -> None:
    # The conversation of the first poll ends some time after its answer.
    before = quiet.wait_for(lambda: same_for_a_while(quiet), "the daemon rests")
    assert len({thread.partition("/")[0] for thread in before}) == 1, "fetcher and installer are gone"
    assert len(before) >= 2, "the main thread and the worker"


def same_for_a_while(device: Device) -> dict[str, int]:
    """The counters, if they were the same for some time."""
    before = wakeups(device)
    time.sleep(_LOOK)
    return before if wakeups(device) == before else {}
