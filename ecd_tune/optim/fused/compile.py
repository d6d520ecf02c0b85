"""Compile the step in place: ``python ecd_tune/optim/fused/compile.py``.

The build hook of the package does the same. Standard library only, since it runs where neither
torch nor this package is installed.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["NAME", "compile_step"]

NAME = "_step.abi3.so"
"""Of CPython's limited API, 3.11 and later."""

_HERE = Path(__file__).parent
_PARTS = ("module.c", "scalars.c", "threads.c")
_FLAGS = (
    "-std=gnu11", "-O3", "-fPIC", "-pthread", "-fvisibility=hidden", "-fno-math-errno",
    "-fno-trapping-math", "-Wno-psabi", "-DPy_LIMITED_API=0x030b0000",
)  # fmt: skip
_LEVELS = {"x86_64": ("v3", "v4")}
"""Instruction sets beyond the plain one that are chosen when the module is loaded."""


def compile_step(folder: Path = _HERE) -> str | None:
    """Compile the sources of a folder into a module in the same folder.

    Args:
        folder: This package's folder.

    Returns:
        None, or in words why there is no module; what was there is removed then.
    """
    target = folder / NAME
    compiler = _compiler()
    if compiler is None:
        target.unlink(missing_ok=True)
        return "no C compiler was found (set CC, or install cc)"
    with tempfile.TemporaryDirectory() as made:
        try:
            _build(compiler, folder, Path(made))
        except subprocess.CalledProcessError as error:
            target.unlink(missing_ok=True)
            return f"{shlex.join(error.cmd[:1])} failed: {error.stderr.strip()[-500:]}"
        fresh = target.with_suffix(".new")
        shutil.copyfile(Path(made, NAME), fresh)
        fresh.replace(target)  # a process that runs keeps the file that it has loaded
    return None


def _compiler() -> list[str] | None:
    named = shlex.split(os.environ.get("CC", ""))
    for command in ([*named], ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    return None


def _build(compiler: list[str], folder: Path, made: Path) -> None:
    levels = _LEVELS.get(platform.machine(), ())
    flags = [*_FLAGS, f"-I{sysconfig.get_paths()['include']}", *(["-DLEVELS"] if levels else [])]
    jobs: list[tuple[str, list[str]]] = [(part, []) for part in (*_PARTS, "passes.c")]
    jobs += [("passes.c", [f"-DLEVEL={level}", f"-march=x86-64-{level}"]) for level in levels]
    objects = [str(made / f"{number}.o") for number in range(len(jobs))]
    commands = [
        [*compiler, *flags, *more, "-c", str(folder / part), "-o", target]
        for (part, more), target in zip(jobs, objects, strict=True)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_run, commands))
    shared = ["-shared"]
    if sys.platform == "darwin":
        shared = ["-bundle", "-undefined", "dynamic_lookup"]
    _run([*compiler, *shared, "-pthread", *objects, "-lm", "-o", str(made / NAME)])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    problem = compile_step()
    print(problem or f"compiled {_HERE / NAME}")  # noqa: T201
    sys.exit(0)
