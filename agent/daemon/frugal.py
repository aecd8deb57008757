"""Memory that the process which stays for ever would hold for nothing. To be called before the rest is imported."""

from __future__ import annotations

import locale


def forget_locales() -> None:
    """Empties the table of names by which ``locale.normalize`` knows other names of locales: 0.5 MiB that nobody here asks.

    ``subprocess`` imports the module. Freed early, the room is used by what is imported next.
    """
    locale.locale_alias.clear()
