"""Network checks through the fetcher: the daemon itself never opens a network connection.

One fetcher answers all checks of a round. It is told nothing but what each question needs: no token, no certificate of the
device, no proxy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from agent.config import Config
from agent.daemon.children import Child
from agent.daemon.network import Await, Conversation, Session
from agent.daemon.session import authorities

_T = TypeVar("_T")
_NOWHERE = "https://localhost"  # of a session that only connects: it is never asked


class Prober:
    """Asks the fetcher.

    Args:
        spawn: starts it.
        config: see ``agent.config``.
        await_one: waits for its answer, at most so many seconds; may raise to end the conversation.
    """

    def __init__(self, spawn: Callable[[str], Child], config: Config, await_one: Await) -> None:
        self._spawn = spawn
        self._config = config
        self._await = await_one
        self._child: Child | None = None

    def get(self, url: str) -> int:
        """See ``agent.health.network``."""
        return self._ask(url, lambda talk: talk.request("GET", url).status)

    def connect(self, host: str, port: int) -> None:
        """See ``agent.health.network``."""
        self._ask(_NOWHERE, lambda talk: talk.connect(host, port))

    def close(self) -> None:
        """See ``agent.health.network``."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _ask(self, url: str, question: Callable[[Conversation], _T]) -> _T:
        third = self._config.health.check_timeout / 3  # the fetcher allows one to connect and two to read
        session = Session(
            url=url,
            auth=None,
            ca_pem=authorities(self._config.server.ca_file),
            user=self._config.fetcher.user,
            connect_timeout=third,
            read_timeout=third,
        )
        if self._child is None:
            self._child = self._spawn("fetcher")
        try:
            return question(Conversation(self._child, session, self._await))
        except BaseException:
            self.close()  # it may still be busy with this question
            raise
