"""From the system calls of real processes, as strace(1) tells them, to operations on a disk.

Whatever could change a file that is watched must be understood; a call that is not ends the recording with an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crash.names import Moment, Names, NotUnderstood

_CALLS = (
    "open,openat,openat2,creat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync,syncfs,sync_file_range,"
    "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,mknod,mknodat,"
    "truncate,ftruncate,fallocate,copy_file_range,sendfile,splice,vmsplice,io_uring_setup,io_submit,ioctl,mmap,lseek"
)
_LONGEST = 9 << 20  # bytes of one write
_LINE = re.compile(r"(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+|\?|0x[0-9a-f]+)(?:<([^>]*)>)?(.*?)(?: <(\d+\.\d+)>)?\n")
_CUT = re.compile(r"(\d+\.\d+) (\w+)\((.*)")  # the end of a recording whose processes were killed
_SIGNAL = re.compile(r"\d+\.\d+ (\+\+\+|---) ")
_HEX = r"(?:\\x[0-9a-f]{2})*"
_TEXT = re.compile(rf'"({_HEX})"')
_BASE = re.compile(rf'iov_base=("{_HEX}"(?:\.\.\.)?)')
_OPEN = re.compile(rf"(?:\d+|AT_FDCWD)<({_HEX})>")
_PLACE = re.compile(rf'(?:(?:\d+|AT_FDCWD)<({_HEX})>, )?"({_HEX})"')
_HARMLESS = ("TCGETS", "FIONBIO", "FIOCLEX", "BLKGETSIZE64", "BLKSSZGET", "BLKROGET")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that has succeeded, or of which it is not known. Times in seconds since the epoch."""

    began: float
    ended: float
    name: str
    arguments: str
    result: int  # -1: the process was killed before it returned
    path: str  # of the descriptor that it returned


def strace(output: Path) -> list[str]:
    """The command before a program to record it and its children; ``output`` gets a file for each thread."""
    return [
        "strace", "-ff", "-y", "-xx", "-s", str(_LONGEST), "--absolute-timestamps=unix,ns", "--syscall-times=ns",
        "--seccomp-bpf", "-e", f"trace={_CALLS}", "-o", str(output),
    ]  # fmt: skip


def read(paths: Iterable[Path]) -> list[Call]:
    """Reads the files of one recording, in the order in which the calls began.

    Raises:
        NotUnderstood: a line is damaged.
    """
    calls = [call for path in paths for call in _calls(path)]
    return sorted(calls, key=lambda call: call.began)


def _calls(path: Path) -> Iterator[Call]:
    with path.open(encoding="ascii") as file:
        for line in file:
            found = _LINE.fullmatch(line)
            if found is None and (cut := _CUT.fullmatch(line)):
                yield Call(float(cut[1]), float(cut[1]), cut[2], cut[3], -1, "")
                continue
            if found is None:
                if _SIGNAL.match(line):
                    continue
                raise NotUnderstood(line[:300])
            began, name, arguments, result, returned, _, took = found.groups()
            number = -1 if result == "?" else int(result, 0)
            if number < 0 and took is not None:
                continue  # it failed, so that nothing happened
            since = float(began)
            yield Call(since, since + float(took or 0), name, arguments, number, _bytes(returned or "").decode())


class Recorder:
    """Turns calls into operations on the files that are watched.

    Args:
        root: of what is watched.
        names: the names there.
    """

    def __init__(self, root: Path, names: Names) -> None:
        self._root, self.names = str(root), names
        self._positions: dict[str, int] = {}  # no file here is written through two descriptors at a time

    def take(self, call: Call) -> list[Moment]:
        """The operations of one call; to be called in the order of time.

        Raises:
            NotUnderstood: the call may have changed something watched in a way that is not known here.
        """
        handler = getattr(self, f"_on_{call.name}", None)
        if handler is not None and call.result >= 0:
            return list(handler(call))
        if call.result < 0 and call.name in ("fsync", "fdatasync"):
            return []  # it has not returned, so that nobody relied on it
        if any(self._inside(path) is not None for path in _paths(call.arguments)):
            raise NotUnderstood(f"{call.name}({call.arguments[:200]}) = {call.result}")
        return []

    def _inside(self, path: str) -> str | None:
        return self.names.inside(self._root, path)

    def _on_openat(self, call: Call) -> list[Moment]:
        name = self._inside(call.path)
        if name is None:
            return []
        if "O_APPEND" in call.arguments:
            raise NotUnderstood(f"{name} is opened to append")
        self._positions[name] = 0
        return self.names.opened(name, truncated="O_TRUNC" in call.arguments, began=call.began, ended=call.ended)

    _on_open = _on_openat

    def _on_lseek(self, call: Call) -> list[Moment]:
        self._positions |= dict.fromkeys(self._descriptor(call), call.result)
        return []

    def _on_pwrite64(self, call: Call) -> list[Moment]:
        return self._written(call, int(call.arguments.rsplit(", ", 1)[1])) if self._descriptor(call) else []

    _on_pwritev = _on_pwrite64

    def _on_pwritev2(self, call: Call) -> list[Moment]:
        return self._written(call, int(call.arguments.rsplit(", ", 2)[1])) if self._descriptor(call) else []

    def _on_write(self, call: Call) -> list[Moment]:
        moments: list[Moment] = []
        for name in self._descriptor(call):
            moments = self._written(call, self._positions.get(name, 0))
            self._positions[name] = self._positions.get(name, 0) + call.result
        return moments

    _on_writev = _on_write

    def _on_fallocate(self, call: Call) -> list[Moment]:
        moments: list[Moment] = []
        for name in self._descriptor(call):
            mode, offset, length = call.arguments.rsplit(", ", 3)[1:]
            if "PUNCH_HOLE" not in mode and "ZERO_RANGE" not in mode:
                raise NotUnderstood(f"fallocate({mode}) of {name}")
            moments = self.names.written(name, int(offset), bytes(int(length)), call.began, call.ended)
        return moments

    def _on_ftruncate(self, call: Call) -> list[Moment]:
        size = int(call.arguments.rsplit(", ", 1)[1])
        return [m for name in self._descriptor(call) for m in self.names.resized(name, size, call.began, call.ended)]

    def _on_fsync(self, call: Call) -> list[Moment]:
        return [m for name in self._descriptor(call) for m in self.names.flushed(name, call.began, call.ended)]

    _on_fdatasync = _on_fsync

    def _on_rename(self, call: Call) -> list[Moment]:
        old, new = (self._inside(path) for path in _places(call))
        if old is not None and new is not None:
            self._positions.pop(new, None)
        return self.names.renamed(old, new, call.began)

    _on_renameat = _on_renameat2 = _on_rename

    def _on_unlink(self, call: Call) -> list[Moment]:
        name = self._inside(_places(call)[0])
        if name is not None and "AT_REMOVEDIR" in call.arguments:
            raise NotUnderstood(f"the directory {name} is removed")
        return [] if name is None else self.names.removed(name, call.began)

    _on_unlinkat = _on_unlink

    def _on_mkdir(self, call: Call) -> list[Moment]:
        name = self._inside(_places(call)[0])
        return [] if name is None else self.names.made(name, call.began)

    _on_mkdirat = _on_mkdir

    def _on_mmap(self, call: Call) -> list[Moment]:
        if "MAP_SHARED" in call.arguments and "PROT_WRITE" in call.arguments and self._descriptor(call):
            raise NotUnderstood(f"{self._descriptor(call)[0]} is mapped to be written")
        return []

    def _on_ioctl(self, call: Call) -> list[Moment]:
        if self._descriptor(call) and not any(word in call.arguments for word in _HARMLESS):
            raise NotUnderstood(f"ioctl({call.arguments[:200]}) of {self._descriptor(call)[0]}")
        return []

    def _descriptor(self, call: Call) -> list[str]:
        """The watched file that the descriptor stands for, if it is one."""
        found = (self._inside(_bytes(path).decode()) for path in _OPEN.findall(call.arguments.partition('"')[0]))
        return [name for name in found if name is not None]

    def _written(self, call: Call, offset: int) -> list[Moment]:
        name = self._descriptor(call)[0]
        text = _BASE.findall(call.arguments) if "iov_base" in call.arguments else [call.arguments.split(", ")[1]]
        data = b"".join(_bytes(piece.strip('"')) for piece in text if not piece.endswith("..."))[: call.result]
        if len(data) != call.result:
            raise NotUnderstood(f"a write to {name} is not whole in the trace")
        return self.names.written(name, offset, data, call.began, call.ended)


def _places(call: Call) -> list[str]:
    """The absolute paths that a call names."""
    found = []
    for folder, name in _PLACE.findall(call.arguments):
        path = _bytes(name).decode()
        if not path.startswith("/"):
            if not folder:
                raise NotUnderstood(f"{call.name} with the relative path {path}")
            path = f"{_bytes(folder).decode().rstrip('/')}/{path}"
        found.append(path)
    return found


def _paths(arguments: str) -> list[str]:
    """Every path in the arguments of a call that is not known."""
    return [_bytes(text).decode("utf-8", "replace") for text in _TEXT.findall(arguments) + _OPEN.findall(arguments)]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
