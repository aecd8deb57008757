"""What is recorded on the way to others: changes of the boot environment, whom the device trusts, the work of its children."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.audit.chain import sha256
from agent.audit.port import Auditor
from agent.config import Config, KeyringSettings
from agent.daemon.record import Record
from agent.errors import OtaError, PolicyError, RemoteError
from agent.wire import Frame
from bootloader_env.errors import BootEnvError
from bootloader_env.port import BootEnv, BootState, Capabilities

_MAX_FILES = 1024


class AuditedEnv:
    """A ``BootEnv`` whose changes are recorded, those that fail as well.

    Args:
        env: the environment.
        audit: where.

    Attributes:
        told: called after each call that may have written to it.
    """

    def __init__(self, env: BootEnv, audit: Auditor) -> None:
        self._env = env
        self._audit = audit
        self.told: Callable[[], None] = lambda: None

    @property
    def capabilities(self) -> Capabilities:
        """See BootEnv."""
        return self._env.capabilities

    def current(self) -> str:
        """See BootEnv."""
        return self._env.current()

    def read(self) -> BootState:
        """See BootEnv."""
        return self._env.read()

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """See BootEnv."""
        self._recorded(
            lambda: self._env.activate(target, fallback=fallback, trial=trial),
            "activate", slot=target, fallback=fallback, trial=trial,
        )  # fmt: skip

    def confirm(self, bootname: str) -> None:
        """See BootEnv."""
        self._recorded(lambda: self._env.confirm(bootname), "confirm", slot=bootname)

    def revert(self, bad: str, good: str) -> None:
        """See BootEnv."""
        self._recorded(lambda: self._env.revert(bad, good), "revert", slot=bad, fallback=good)

    def mark_good(self, bootname: str) -> None:
        """See BootEnv."""
        self._recorded(lambda: self._env.mark_good(bootname), "mark-good", slot=bootname)

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """See BootEnv."""
        try:
            healed = self._env.heal(bootname, good)
        finally:
            self.told()
        if healed:
            self._audit.note("boot-choice", "heal", slot=bootname, others=" ".join(good))
        return healed

    def _recorded(self, change: Callable[[], None], what: str, **data: str) -> None:
        try:
            change()
        except BootEnvError as error:
            self._audit.note("boot-choice", what, **data, error=error.code)
            raise
        finally:
            self.told()
        self._audit.note("boot-choice", what, **data)


def note_trust(audit: Auditor, config: Config) -> None:
    """Records whom bundles are believed, when that is not what it was: certificates, and lists of revoked ones."""
    if not audit.recording:
        return
    try:
        digests = [sha256(path.read_bytes()) for path in _files(config.keyring)]
    except OSError:  # whoever verifies a bundle with it says what is wrong
        return
    audit.note("trust", sha256(" ".join(digests).encode()), files=len(digests))


def _files(keyring: KeyringSettings) -> list[Path]:
    files = [keyring.path] if keyring.path is not None else []
    if keyring.directory is not None:
        files += sorted(path for path in keyring.directory.iterdir() if path.is_file())[:_MAX_FILES]
    return files


@contextmanager
def recorded_work(audit: Auditor, record: Record, purpose: str) -> Iterator[None]:
    """Around what children do with a bundle: when a download began and ended, and why a bundle was refused.

    Args:
        audit: where it is recorded.
        record: of the update.
        purpose: what the installer is asked to do.
    """
    about = {"action": record.action_id, "purpose": purpose}
    fetches = record.origin == "server"
    if fetches:
        audit.note("download-started", record.name or record.url, **about, size=record.size)
    ending = "interrupted"
    try:
        yield
        ending = "complete"
    except OtaError as error:
        ending = error.code
        if isinstance(error, RemoteError) and error.code.startswith("bundle."):
            audit.note("verify-failed", error.code, **about, version=record.version, details=error.details)
        raise
    finally:
        if fetches:
            audit.note("download-finished", ending, **about)


@contextmanager
def recorded_policy(audit: Auditor, record: Record) -> Iterator[None]:
    """Around the decision whether a genuine bundle may be installed."""
    try:
        yield
    except PolicyError as error:
        audit.note("verify-failed", error.code, action=record.action_id, details=error.details)
        raise


def note_passed(audit: Auditor, record: Record, answer: Frame) -> None:
    """Records that a bundle is genuine and fits, and whose signature it carries."""
    audit.note(
        "verify-passed", record.version, action=record.action_id, manifest=record.manifest_hash,
        signer=answer.text("signer"), certificate=answer.text("certificate", ""), signed_at=record.signed_at,
    )  # fmt: skip
