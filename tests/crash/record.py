"""Records a whole update of a real device in a folder: its processes under strace, its boot script, its server."""

from __future__ import annotations

import pickle
import sys
import time
from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.shelf import Shelf, offer, trust

from agent.demo.bootscript import Loaded, Storage
from agent.demo.factory import CONTROLLER, Timing
from agent.demo.images import MIB
from agent.demo.server_state import State as ServerState
from agent.demo.world import FACTORY_VERSION, World, sha256
from crash import trace
from crash.content import SECTOR, Content
from crash.disk import Disk, Node, Operation, State
from crash.names import Moment, Names
from crash.scenarios import Scenario

SIZE = 9  # MiB of an image: the installer reports a checkpoint at 8
PROGRAM = Path(__file__).with_name("device.py")


@dataclass(frozen=True, slots=True)
class System:
    """What a slot holds: its boot name, the version, the digest of the image."""

    bootname: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the server knows from this moment on, pickled."""

    state: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """One update.

    Attributes:
        scenario: what was done.
        directory: the device's folder as it was left, with bundle, keyring, token and configuration.
        old: the system that ran before.
        before: digest of what the other slot held.
        new: the one that was to run after.
        bundle: the update.
        floor: the lowest version that the update asks for.
        action_id: of the server.
        numbers: the watched files at the beginning.
        base: what was on the medium at the beginning.
        timeline: everything that happened, in order.
    """

    scenario: Scenario
    directory: Path
    old: System
    new: System
    before: str
    bundle: Path
    floor: str
    action_id: str
    slots: Mapping[str, str]
    base: Mapping[int, Node]
    directories: frozenset[int]
    timeline: tuple[Operation | Told, ...]

    def names(self) -> Names:
        """The names at the beginning, for a recording of what comes after a power cut."""
        return names_of(self.base, self.directories)

    def disk(self) -> Disk:
        """The disk at the beginning."""
        return Disk(self.base, self.directories).copy()


def watched(name: str) -> bool:
    """Whether a path of the device's folder stands for something on a medium that must survive."""
    return name in ("", "uboot.env", "grubenv", ".grubenv.new", "slots", "state") or (
        name.startswith(("slots/", "state/")) and name != "state/lock"
    )


def record(scenario: Scenario, directory: Path) -> Recording:
    """Lets a device update itself, and writes down what it did to its media and what its server knew at each moment.

    Raises:
        NotUnderstood: a process did something to a watched file that the simulator does not know.
    """
    directory = directory.absolute()
    shelf = Shelf(_made(directory / "shelf"), SIZE)
    bootloader = "uboot" if scenario.bootloader == "uboot" else "grub"
    timing = Timing(soak=0.05, interval=0.05, deadline=2.0 if scenario.system == "sick" else 20.0)
    world = trust(World(directory / "world", size=SIZE, timing=timing, bootloader=bootloader))
    program = [sys.executable, "-I", str(PROGRAM), *_altered(scenario)]
    world.board.program = program
    with world:
        world.wait_settled()
        old = System("A", FACTORY_VERSION, world.slot_sha256("A", SIZE * MIB))
        if scenario.again:
            old = System("B", "1.1.0", sha256(shelf.image("1.1.0")))
            world.wait_ended(offer(world, shelf.bundle("1.1.0")))
            world.wait_settled()
        world.board.power_cut()
        floor = "1.5.0"
        image = shelf.image("2.0.0", sick="told to fail" if scenario.system == "sick" else "",
                            bootable=scenario.system != "dead")  # fmt: skip
        bundle = shelf.bundle("2.0.0", image=image, extra=f"[meta.cra]\nmin-version={floor}\n")
        new = System(world.other, "2.0.0", sha256(image))
        before = world.slot_sha256(new.bootname, SIZE * MIB)
        session = _Session(world, directory / "trace", program)
        world.board.power_on()
        world.wait_settled()
        action_id = session.assign(bundle)
        if scenario.cancelled:
            world.wait_for(lambda: world.state == "staging", 60, "the update is written")
            session.cancel(action_id)
        world.wait_ended(action_id)
        world.wait_settled()
        _let_pass(world, 0.3)
        world.board.power_cut()
        timeline = session.timeline()
    return Recording(
        scenario, world.directory, old, new, before, bundle, floor, action_id,
        {name: f"slots/{path.name}" for name, path in world.board.slots.items()},
        session.base, session.directories(), timeline,
    )  # fmt: skip


class _Session:
    """The recording itself, from the moment at which it is made."""

    def __init__(self, world: World, output: Path, program: list[str]) -> None:
        self._world, self._output = world, _made(output)
        self._saves: list[Saved] = []
        self._told: list[tuple[float, Told]] = []
        world.board.program = [*trace.strace(output / "thread"), *program]
        root = world.directory
        paths = ["", *sorted(filter(watched, (str(path.relative_to(root)) for path in root.rglob("*"))))]
        folders = {name: number for number, name in enumerate(paths) if (root / name).is_dir()}
        files = {name: number for number, name in enumerate(paths) if name not in folders}
        self._names = Names(watched, files, folders)
        self.base = {number: Node() for number in folders.values()}
        self.base |= {number: Node(_content(root / name)) for name, number in files.items()}
        for number, name in enumerate(paths[1:], 1):
            folder, _, last = name.rpartition("/")
            self.base[folders[folder]].names[last] = number
        world.board.flash = Noted(world.board.flash, self._saves.append)
        answer = world.server.answer

        def noted(*request):  # type: ignore[no-untyped-def]  # passed through
            with world.server.lock:
                given = answer(*request)
                self._note()
            return given

        world.server.answer = noted  # type: ignore[method-assign]
        with world.server.lock:
            self._note()

    def assign(self, bundle: Path) -> str:
        """The operator gives the update to the device."""
        with self._world.server.lock:
            module = self._world.server.upload(bundle, version="2.0.0")
            action_id = self._world.server.assign(CONTROLLER, module)
            self._note()
        return action_id

    def cancel(self, action_id: str) -> None:
        """The operator takes it back."""
        with self._world.server.lock:
            self._world.server.cancel(action_id)
            self._note()

    def directories(self) -> frozenset[int]:
        """The numbers of directories, also of those made later."""
        return frozenset(self._names.directories.values())

    def timeline(self) -> tuple[Operation | Told, ...]:
        """Everything in the order in which it happened; to be called once."""
        recorder = trace.Recorder(self._world.directory, self._names)
        calls: list[trace.Call | Saved] = [*trace.read(self._output.iterdir())]
        for save in self._saves:
            insort(calls, save, key=lambda call: call.began)
        moments: list[tuple[float, Operation | Told]] = [*self._told]
        for call in calls:
            done = saved(self._names, call) if isinstance(call, Saved) else recorder.take(call)
            moments += [(moment.time, moment.operation) for moment in done]
        return tuple(what for _, what in sorted(moments, key=lambda pair: pair[0]))

    def _note(self) -> None:
        state = pickle.dumps(self._world.server.state)
        if not self._told or state != self._told[-1][1].state:
            self._told.append((time.time(), Told(state)))


@dataclass(frozen=True, slots=True)
class Saved:
    """A bootloader wrote to its environment, and waited for the medium."""

    name: str
    offset: int
    data: bytes
    began: float
    ended: float


class Noted:
    """A bootloader's environment that tells what the bootloader writes to it. A ``Storage``.

    Args:
        inner: the environment.
        tell: is told.
    """

    def __init__(self, inner: Storage, tell: Callable[[Saved], None]) -> None:
        self._inner, self._tell = inner, tell
        self.path = inner.path

    def load(self) -> Loaded:
        return self._inner.load()

    def save(self, variables: Mapping[str, str]) -> None:
        before, began = self.path.read_bytes(), time.time()
        self._inner.save(variables)
        after, ended = self.path.read_bytes(), time.time()
        if len(before) != len(after):
            raise RuntimeError("a bootloader cannot resize its environment")
        changed = [at for at in range(0, len(after), SECTOR) if before[at : at + SECTOR] != after[at : at + SECTOR]]
        if changed:
            data = after[changed[0] : changed[-1] + SECTOR]
            self._tell(Saved(self.path.name, changed[0], data, began, ended))


def saved(names: Names, save: Saved) -> list[Moment]:
    """What a bootloader did, as operations."""
    written = names.written(save.name, save.offset, save.data, save.began, save.began)
    return [*written, *names.flushed(save.name, save.ended, save.ended)]


def names_of(nodes: Mapping[int, Node], directories: frozenset[int]) -> Names:
    """The names that nodes have, without anything that is pending."""
    files: dict[str, int] = {}
    folders = {"": 0}
    for path, number in _listed(nodes, directories, 0, ""):
        (folders if number in directories else files)[path] = number
    return Names(watched, files, folders)


def nodes_of(state: State) -> tuple[dict[int, Node], frozenset[int]]:
    """A disk that holds a state and has nothing pending: the files and directories by number."""
    nodes, folders = {0: Node()}, {"": 0}
    for path, content in state.items():
        folder, _, last = path.rpartition("/")
        inside = nodes[_folder(nodes, folders, folder)]
        inside.names[last] = len(nodes)
        nodes[len(nodes)] = Node(content)
    return nodes, frozenset(folders.values())


def _folder(nodes: dict[int, Node], folders: dict[str, int], path: str) -> int:
    """The number of a directory, which is made when there is none."""
    if path not in folders:
        above, _, last = path.rpartition("/")
        inside = nodes[_folder(nodes, folders, above)]
        folders[path] = inside.names[last] = len(nodes)
        nodes[folders[path]] = Node()
    return folders[path]


def _listed(nodes: Mapping[int, Node], directories: frozenset[int], number: int, path: str) -> list[tuple[str, int]]:
    found = []
    for name, child in nodes[number].names.items():
        found.append((path + name, child))
        if child in directories:
            found += _listed(nodes, directories, child, f"{path}{name}/")
    return found


def unpickled(told: Told) -> ServerState:
    """What the server knew."""
    state = pickle.loads(told.state)
    if not isinstance(state, ServerState):
        raise TypeError("no state of a server")
    return state


def _let_pass(world: World, seconds: float) -> None:
    """The document that says that the device rests may be seen before the daemon has flushed it."""
    end = time.monotonic() + seconds
    world.wait_for(lambda: time.monotonic() > end, seconds + 30, "some time passes")


def _altered(scenario: Scenario) -> list[str]:
    names = [*(["fat"] if scenario.bootloader == "fat" else []), *scenario.altered]
    return [f"--alter={name}" for name in names]


def _content(path: Path) -> Content:
    data = path.read_bytes()
    return Content.of(data) if data.strip(b"\0") else Content(len(data))


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory
