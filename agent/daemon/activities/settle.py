"""Each boot uses up one of the running slot's attempts; a healthy one gives them back, whatever the record says."""

from __future__ import annotations

import logging

from agent.daemon.context import Context
from bootloader_env.errors import BootEnvError

_log = logging.getLogger(__name__)


class Settle:
    """Marks this boot good, once, when its checks are green.

    It comes before every activity in which the device may be switched off for a good reason: without it, the resets during
    a long download or a closed maintenance window would use up the attempts of a slot that works.

    Args:
        context: the collaborators.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        known = context.leaving is not None and context.leaving.healthy  # by a process before, in this boot
        self._healthy: bool | None = True if known else None
        self._marked = known

    def __call__(self) -> None:
        """Judges this boot unless that was done; a boot environment that cannot be written is tried again later."""
        context = self._context
        if self._healthy is None:
            self._judge()
        if not self._healthy or self._marked:
            return
        try:
            context.device.env.mark_good(context.device.booted.bootname)
        except BootEnvError as error:
            _log.error("this boot could not be marked good: %s", error, extra={"OTA_ERROR_CODE": error.code})
        else:
            self._marked = True

    @property
    def marked(self) -> bool:
        """Whether this boot was marked good."""
        return self._marked

    @property
    def healthy(self) -> bool:
        """Whether this boot was judged, and its checks were green."""
        return self._healthy is True

    def _judge(self) -> None:
        context = self._context
        health = context.config.health
        verdict = context.boot_checks.evaluate(
            deadline=health.deadline, soak=health.soak, interval=health.interval,
            clock=context.clock.boottime, sleep=context.inbox.pause, cancelled=context.inbox.cancel_asked,
        )  # fmt: skip
        if verdict.cancelled:
            return
        context.inbox.wait(0)  # a system on its way down is not sick
        self._healthy = verdict.ok
        context.audit.note(
            "health", "passed" if verdict.ok else "failed", slot=context.device.booted.bootname, trial=False,
            text=verdict.text,
        )  # fmt: skip
        if not verdict.ok:
            _log.error("the running system is not healthy: %s", verdict.text, extra={"OTA_ERROR_CODE": "health.failed"})
