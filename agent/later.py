"""Modules that libraries import and our processes seldom use: each is loaded when something of it is first used.

``importlib.util.LazyLoader`` does not serve: two threads that come at once see half a module (before Python 3.12), and
``from module import name`` loads it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

# A module, and what is taken out of it by "from module import name" without being used.
PUT_OFF: Mapping[str, tuple[str, ...]] = {
    "difflib": (),  # guesses what a wrong word in a configuration was meant to be
    "gi._option": (),  # GLib's command line, with optparse and gettext
    "importlib.metadata": ("version",),  # urllib3.http2, which is not used; with zipfile and csv
    "inspect": ("Parameter", "signature"),  # dataclasses without a docstring, pydbus.registration; with ast and dis
    "ipaddress": (),  # urllib.parse: addresses in brackets
    "locale": (),  # subprocess in text mode; half a MiB of names
    "pydbus.proxy_method": ("ProxyMethod",),  # agent.bus.calls does without proxies
    "selectors": ("PollSelector",),  # subprocess.communicate
    "textwrap": (),  # traceback: groups of exceptions
    "tokenize": (),  # linecache: the lines of a traceback
    "xml.etree.ElementTree": (),  # pydbus.proxy
}
_WRAPPED = 4  # times; a class method is its function, wrapped once
_lock = Lock()


def _get_annotations(of: object, **options: object) -> Any:  # noqa: ANN401 - as inspect.get_annotations
    if options or not isinstance(of, type) or sys.version_info >= (3, 14):
        return _load("inspect").get_annotations(of, **options)
    return dict(vars(of).get("__annotations__") or {})


def _unwrap(member: Any, **options: object) -> Any:  # noqa: ANN401 - as inspect.unwrap
    inner = member
    for _ in range(0 if options else _WRAPPED):
        if not hasattr(inner, "__wrapped__"):
            return inner
        inner = inner.__wrapped__
    return _load("inspect").unwrap(member, **options)


# What dataclasses asks for each class: the first in Python 3.12 and 3.13, the second of each of its members in 3.14.
_ANSWERED: Mapping[str, Mapping[str, Any]] = {"inspect": {"get_annotations": _get_annotations, "unwrap": _unwrap}}


class _Later(ModuleType):
    """Stands for a module that is not loaded yet; whoever has imported it keeps this for ever."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a module holds
        if name.startswith("__"):  # what the import system and copiers look for says nothing about use
            raise AttributeError(name)
        return getattr(_load(self.__name__), name)


class _Part:
    """Stands for a class or function of such a module."""

    def __init__(self, module: str, name: str) -> None:
        self._of = module, name

    def __call__(self, *args: object, **options: object) -> Any:  # noqa: ANN401 - whatever it returns
        module, name = self._of
        return getattr(_load(module), name)(*args, **options)

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - whatever it holds
        module, name = self._of
        return getattr(getattr(_load(module), name), attribute)


def put_off() -> None:
    """Puts a stand-in in the place of each module that is not loaded yet."""
    for name, parts in PUT_OFF.items():
        if name not in sys.modules:
            module = _Later(name)
            for part in parts:
                setattr(module, part, _Part(name, part))
            vars(module).update(_ANSWERED.get(name, {}))
            sys.modules[name] = module


def _load(name: str) -> ModuleType:
    with _lock:
        if isinstance(sys.modules.get(name), _Later):
            del sys.modules[name]
    return import_module(name)
