"""The surroundings of a daemon without processes and without waiting: children that answer at once, time that jumps."""

from __future__ import annotations

import os
import pickle
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from agent.bundle.manifest import Image
from agent.bundle.verify import VerifiedBundle
from agent.daemon.inbox import HasFileno, Inbox, Stopped
from agent.demo import server_routes
from agent.demo.server_http import Answer, Request
from agent.demo.server_state import State
from agent.demo.server_values import Refused
from agent.errors import EnvironmentFault, explain
from agent.installer import main as installer
from agent.wire import Frame

_PIECE = 128 * 1024  # bytes


class Restless(BaseException):
    """The daemon goes on for ever. Not an Exception: the daemon must not take it for a failure of its work."""


class Clock:
    """Moves when somebody waits."""

    def __init__(self, wall: float) -> None:
        self._wall, self.now = wall, 0.0
        self.boot()

    def boot(self) -> None:
        """A reset: the time since the boot starts again, the wall clock goes on."""
        self._wall += self.now + 20.0
        self.now = 10.0

    def boottime(self) -> float:
        return self.now

    def wall(self) -> float:
        return self._wall + self.now

    def synchronised(self) -> bool:
        return True


class Patient(Inbox):
    """An inbox whose waits move the clock instead of taking time, and that ends a daemon at rest.

    Args:
        clock: is moved.
        rests: whether the daemon has nothing left to do.
    """

    def __init__(self, clock: Clock, rests: Callable[[], bool]) -> None:
        super().__init__()
        self._clock, self._rests = clock, rests
        self._waits = 0

    def wait(self, seconds: float | None, sources: Iterable[HasFileno] = ()) -> list[HasFileno]:
        self._waits += 1
        if self._waits > 2000:
            raise Restless("it waits again and again")
        ready = [source for source in sources if getattr(source, "ready", False)]
        if ready:
            return ready
        if self._rests():
            raise Stopped
        self._clock.now += 3600.0 if seconds is None else max(0.0, seconds)
        return []

    def await_one(self, source: HasFileno, seconds: float) -> None:
        if not self.wait(0, (source,)):
            self._clock.now += seconds

    def pause(self, seconds: float) -> None:
        self.wait(seconds)


class Child:
    """Answers each message at once; has the interface of ``agent.daemon.children.Child``."""

    def __init__(self, kind: str, answer: Callable[[Frame], Iterable[Frame]]) -> None:
        self.kind, self.pid = kind, 0
        self._answer = answer
        self._said: deque[Frame] = deque()
        self.channel = SimpleNamespace(send=self._send, fileno=lambda: -1)
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        weakref.finalize(self, os.close, self._bell)

    @property
    def ready(self) -> bool:
        return bool(self._said)

    def _send(self, header: Mapping[str, object], body: bytes = b"", fds: Sequence[int] = ()) -> None:
        self._said.extend(self._answer(Frame(header, bytes(body), tuple(os.dup(fd) for fd in fds))))

    def receive(self, _timeout: float | None) -> Frame:
        if not self._said:
            raise EnvironmentFault("child.died", f"the {self.kind} has nothing to say")
        return self._said.popleft()

    def fileno(self) -> int:
        """Readable while something was said."""
        if self._said:
            os.eventfd_write(self._bell, 1)
        else:
            with suppress(BlockingIOError):
                os.eventfd_read(self._bell)
        return self._bell

    def alive(self) -> bool:
        return True

    def close(self) -> None:
        self._said.clear()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Office:
    """The development server without a network.

    Args:
        state: what it knows.
        token: of the device.
        heard: told each message about an action before it is taken: the path and the body.
        learned: told what the server knows, pickled, when that has changed.
        offline: how many requests fail before the network is there.
    """

    def __init__(
        self,
        state: State,
        token: str,
        heard: Callable[[str, bytes], None],
        learned: Callable[[bytes], None],
        offline: int,
    ) -> None:
        self.state, self.offline = state, offline
        self._learned, self._last = learned, _known(state)
        self._authorization = f"TargetToken {token}"
        self._heard = heard
        self._rules = server_routes.Rules()

    def fetcher(self, frame: Frame) -> list[Frame]:
        """What a fetcher answers."""
        for fd in frame.fds:
            os.close(fd)
        if frame.op == "session":
            return [Frame({"op": "ok"})]
        if frame.op == "serve":
            return [Frame({"op": "served"})]
        if self.offline > 0:
            self.offline -= 1
            return [Frame({"op": "error", "error": explain(EnvironmentFault("net.connect", "no network"))})]
        answer = self._answered(frame)
        if (now := _known(self.state)) != self._last:
            self._last = now
            self._learned(pickle.dumps(self.state))
        headers = {"content-type": answer.content_type}
        return [Frame({"op": "response", "status": answer.status, "headers": headers}, answer.body)]

    def _answered(self, frame: Frame) -> Answer:
        parts = urlsplit(frame.text("url"))
        asked = frame.header.get("headers")
        headers = {name.lower(): str(value) for name, value in (asked if isinstance(asked, dict) else {}).items()}
        headers["authorization"] = self._authorization
        request = Request(
            frame.text("method"), parts.path, dict(parse_qsl(parts.query)), headers, frame.body,
            f"{parts.scheme}://{parts.netloc}",
        )  # fmt: skip
        if parts.path.endswith("/feedback"):
            self._heard(parts.path, frame.body)
        try:
            answer = server_routes.answer(self.state, self._rules, request)
        except Refused as refusal:
            return Answer(refusal.status)
        if not isinstance(answer, Answer):
            raise TypeError("a file is not asked for like this")
        return answer


def _known(state: State) -> object:
    """Changes whenever the server learns something."""
    actions = [(action.status, action.revision) for action in state.actions.values()]
    return actions, [(target.attributes, target.request_attributes) for target in state.targets.values()]


class Unpacked:
    """A verified bundle whose images were read once, and are in memory from then on.

    Args:
        bundle: the real one.
    """

    def __init__(self, bundle: VerifiedBundle) -> None:
        self._bundle = bundle
        self._images: dict[str, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bundle, name)

    def image_file(self, image: Image) -> Any:
        """What the real one gives, as far as the installer uses it."""
        if image.filename not in self._images:
            self._images[image.filename] = b"".join(self._bundle.image_file(image).blocks(0))
        whole = memoryview(self._images[image.filename])
        return SimpleNamespace(
            blocks=lambda start: (whole[at : at + _PIECE] for at in range(start, len(whole), _PIECE))
        )


class Installer:
    """The installer's own code in this process; only the verification of the bundle was done before.

    Args:
        bundle: verified.
    """

    def __init__(self, bundle: VerifiedBundle) -> None:
        self.bundle = Unpacked(bundle)

    def answer(self, frame: Frame) -> list[Frame]:
        """What an installer answers."""
        said: list[Frame] = []
        channel = SimpleNamespace(send=lambda header: said.append(Frame(header)))
        installer._answer(channel, frame, "", None)  # type: ignore[arg-type]  # all that is used of a channel
        return said
