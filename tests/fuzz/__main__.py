"""``python -m fuzz TARGET --runs N --seed S`` runs one target; ``all`` runs each in a process of its own and reports."""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    options = _options()
    if options.target != "all":
        return _one(options)
    from fuzz.targets import TARGETS

    shares = sum(each.share for each in TARGETS.values())
    outcomes = []
    for target in TARGETS.values():
        part = target.share / shares
        argv = [f"--seconds={options.seconds * part}", f"--seed={options.seed}", f"--engine={options.engine}"]
        argv += [f"--runs={max(1, int(options.runs * part))}", f"--folder={options.folder}"]
        (options.folder / target.name / "outcome.json").unlink(missing_ok=True)
        subprocess.run([sys.executable, "-m", "fuzz", target.name, *argv], check=False)
        outcomes.append(_outcome(options.folder / target.name, target.name))
        _tell(outcomes[-1])
    done = sum(int(str(each["executions"])) for each in outcomes)
    sys.stdout.write(f"{done} executions; seed {options.seed}; report in {options.folder / 'report.json'}\n")
    (options.folder / "report.json").write_text(json.dumps({"executions": done, "targets": outcomes}, indent=1) + "\n")
    return int(any(each["finding"] for each in outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m fuzz", description=__doc__)
    parser.add_argument("target", help="a target, or 'all'")
    parser.add_argument("inputs", nargs="*", type=Path, help="files to run once, to reproduce findings")
    parser.add_argument("--runs", type=int, default=1 << 62, help="end after so many executions")
    parser.add_argument("--seconds", type=float, default=1e9, help="end after so much time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("atheris", "random"), default="atheris")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    return parser.parse_args()


def _one(options: argparse.Namespace) -> int:
    watched = contextlib.nullcontext()
    if options.engine == "atheris" and not options.inputs:
        try:
            import atheris
        except ImportError:
            sys.stderr.write("atheris does not exist for this Python or processor: use --engine random\n")
            return 2
        packages = ["agent", "bootloader_env", "slots"]
        watched = atheris.instrument_imports(include=packages, enable_loader_override=False)
    with watched:
        from fuzz.engine import fuzz
        from fuzz.target import Watch
        from fuzz.targets import TARGETS
    target = TARGETS[options.target]
    if options.inputs:
        watch = Watch(target)
        watch.start()
        for path in options.inputs:
            watch.one(path.read_bytes())
        return 0
    folder = options.folder / target.name
    folder.mkdir(parents=True, exist_ok=True)
    fuzz(target, options.engine, options.runs, options.seconds, options.seed, folder)
    raise AssertionError("fuzz ends the process")


def _outcome(folder: Path, name: str) -> dict[str, object]:
    try:
        return dict(json.loads((folder / "outcome.json").read_text()))
    except OSError:
        return {"target": name, "executions": 0, "seconds": 0, "finding": "the process ended without an outcome"}


def _tell(outcome: dict[str, object]) -> None:
    done, seconds = float(str(outcome["executions"])), float(str(outcome["seconds"])) or 1
    sys.stdout.write(f"{outcome['target']:12} {done:10.0f} executions, {done / seconds:8.0f}/s  ")
    sys.stdout.write(f"{outcome['finding'] or 'every promise kept'}\n")
    if outcome.get("input"):
        sys.stdout.write(f"  reproduce: make fuzz-one TARGET={outcome['target']} INPUT={outcome['input']}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
