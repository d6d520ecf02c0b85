"""A ``python`` that starts at once: its processes are forks of one that has imported everything.

Importing torch, Optuna and matplotlib takes two to three seconds of processor time, most of what a
command on a small study costs. :func:`preloaded_python` returns a program that is called as
``python -m MODULE``, ``python -c CODE`` or ``python FILE``, with arguments. It hands its arguments,
folder, environment and standard streams to a server, which forks; it passes signals on and ends as
that process does, and if it is killed, so is that process. ``sys.executable`` is the same program
there, so that the workers which a command starts are forks too.

Where a test is about what a process imports, or about real process numbers, use ``sys.executable``.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
MODULES = (
    *("ecd_tune.cli.main", "ecd_tune.cli.display", "ecd_tune.tuning", "ecd_tune.worker"),
    *("ecd_tune.store", "ecd_tune.launch", "ecd_tune.serve", "ecd_tune.lab"),
    *("ecd_tune.optim", "ecd_tune.tasks", "torch.func", "optuna.importance"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
    *("sklearn.datasets", "sklearn.ensemble", "scipy.stats", "pandas"),
)


@cache
def preloaded_python() -> str:
    """Start the server of this process at the first call; return the program's path."""
    folder = Path(tempfile.mkdtemp(prefix="ecd_tune_forks_"))
    place, program = folder / "socket", folder / "python"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -I -S {__file__} {place} "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.preloaded", place, program],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # a fork has only the first thread
        stdin=subprocess.PIPE,  # the server ends with it, also if this process is killed
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n", "the server of preloaded processes did not start"
    server.stdout.close()

    def end() -> None:
        server.stdin.close()
        server.wait()

    atexit.register(end)
    return str(program)


# ------------------------------------------------------------------- the program that is called


def ask(place: str, arguments: list[str]) -> None:
    """Have a process forked, and end as it ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until there is one to pass them on to
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(place)
        text = json.dumps([arguments, str(Path.cwd()), dict(os.environ)]).encode()
        socket.send_fds(server, [len(text).to_bytes(4, "big")], [0, 1, 2])
        server.sendall(text)
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: server.send(bytes([number])))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        status = int.from_bytes(server.recv(2), "big")
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


# ---------------------------------------------------------------------------------- the server


def serve(place: str, program: str) -> Callable[[], None]:
    """Fork for each caller. Return in a fork, with what it is to do."""
    for name in MODULES:
        __import__(name)
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    threads = [name for name in names if name != "jemalloc_bg_thd"]  # pyarrow's, forks have theirs
    assert len(threads) == 1, f"a fork would have only the first of the threads {threads}"
    sys.executable = program
    gc.freeze()  # a collection in a fork would copy all pages
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen(64)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([listener, 0], [], [])
            if listener not in ready:  # the tests have ended
                shutil.rmtree(Path(place).parent)
                os._exit(0)
            caller, _ = listener.accept()
            if os.fork() == 0:
                break
            caller.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass  # they count as the time of the tests, and are gone
    return attend(caller)


def attend(caller: socket.socket) -> Callable[[], None]:
    """Fork, pass signals on, and tell the caller how it ended. Return in the fork."""
    head, streams, _, _ = socket.recv_fds(caller, 4, 3)
    with caller.makefile("rb") as file:
        arguments, folder, environment = json.loads(file.read(int.from_bytes(head, "big")))
    process = os.fork()
    if process == 0:
        caller.close()
        return lambda: become(arguments, folder, environment, streams)
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(process)
    while True:
        ready, _, _ = select.select([caller, ended], [], [])
        if ended in ready:
            break
        numbers = caller.recv(16)
        for number in numbers or [signal.SIGKILL]:
            os.kill(process, number)
        if not numbers:
            break
    _, status = os.waitpid(process, 0)
    with suppress(BrokenPipeError):
        caller.send(status.to_bytes(2, "big"))
    os._exit(0)


def become(
    arguments: list[str], folder: str, environment: dict[str, str], streams: list[int]
) -> None:
    """Be ``python`` with these arguments."""
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = (
        io.TextIOWrapper(buffer(io.FileIO(number, mode, closefd=False)), line_buffering=number == 2)
        for number, mode, buffer in (
            (0, "r", io.BufferedReader),
            (1, "w", io.BufferedWriter),
            (2, "w", io.BufferedWriter),
        )
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    kind, *rest = arguments
    paths = [p for p in environment.get("PYTHONPATH", "").split(os.pathsep) if p]
    if kind in ("-m", "-c"):
        sys.argv = [kind, *rest[1:]]
        sys.path[0:1] = ["" if kind == "-c" else folder, *paths]
    else:
        sys.argv = [kind, *rest]
        sys.path[0:1] = [str(Path(kind).resolve().parent), *paths]
    if kind == "-m":
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        module = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), module.__dict__)
    else:
        runpy.run_path(kind, run_name="__main__")


def end_after(work: Callable[[], None]) -> None:
    """End as an interpreter does, without taking all modules apart, which takes a second."""
    status = 0
    try:
        work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        status = 1
        sys.excepthook(*sys.exc_info())
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    if sys.flags.isolated:
        ask(sys.argv[1], sys.argv[2:])
    end_after(serve(*sys.argv[1:]))
