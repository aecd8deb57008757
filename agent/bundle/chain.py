"""From a signer up to a trusted certificate: the question that a library answers.

``chain_x509.py`` and ``chain_openssl.py`` each answer it by the path building of a library: signatures, names, validity,
and which certificates may issue others. What else a chain must fulfil is judged afterwards by ``faults.py``, the same for
both, so that a bundle gets the same verdict whichever library a device has.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

MAX_DEPTH = 8  # authorities between a signer and its anchor


@dataclass(frozen=True, slots=True)
class ChainQuestion:
    """Which chain leads from ``signer`` to an anchor?

    Args:
        signer: the lower end.
        pool: certificates that may lie between; they prove nothing.
        anchors: where a chain may end; the signer itself may be one of them.
        when: the time at which every certificate must be valid, with a time zone.
    """

    signer: x509.Certificate
    pool: tuple[x509.Certificate, ...]
    anchors: tuple[x509.Certificate, ...]
    when: datetime


class ChainRefusedError(Exception):
    """The library found no chain; the text is what it said."""
