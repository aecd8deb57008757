"""What the development server tells devices that is not true, when a fault says so: links, digests, sizes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from agent.demo.server_faults import Fault
from agent.demo.server_http import Answer, Request


def bend_request(request: Request, fault: Fault) -> Request:
    """The request, as if it had come to another address: links are made from that."""
    return replace(request, root=fault.link_root) if fault.link_root else request


def bend_answer(answer: Answer, fault: Fault) -> Answer:
    """The answer with false facts about files."""
    if not (fault.false_hash or fault.false_size) or "json" not in answer.content_type:
        return answer

    def bent(entry: dict[str, object]) -> dict[str, object]:
        hashes, size = entry.get("hashes"), entry.get("size")
        if fault.false_hash and isinstance(hashes, dict):
            entry["hashes"] = {name: _another(str(digest)) for name, digest in hashes.items()}
        if fault.false_size and isinstance(size, int):
            entry["size"] = size + fault.false_size
        return entry

    return replace(answer, body=json.dumps(_each_object(json.loads(answer.body), bent)).encode())


def _another(digest: str) -> str:
    return ("1" if digest.startswith("0") else "0") + digest[1:]


def _each_object(value: object, change: Callable[[dict[str, object]], dict[str, object]]) -> object:
    if isinstance(value, list):
        return [_each_object(entry, change) for entry in value]
    if isinstance(value, dict):
        return change({key: _each_object(entry, change) for key, entry in value.items()})
    return value
