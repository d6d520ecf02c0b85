"""Run functions of a module in several processes that talk through torch.distributed.

One pair of processes runs many functions, one after another. Each gets a process group of its own:
a collective that a failed function left behind reaches no other. Nothing is bounded in total time,
since the machine may be busy: the processes are killed when none of them has made progress for a
while: a result, or a :func:`beat`.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests.preloaded import preloaded_python

__all__ = ["RankError", "Results", "beat", "run_ranks"]

ROOT = Path(__file__).parents[3]
DEADLINE = 60.0
"""Seconds without progress of any process after which all are killed."""

_START = 120.0
"""Seconds that imports may take instead."""
_AFTER_DEATH = 20.0
"""Seconds that the other ranks have when one has died."""
_COLLECTIVE = 30.0
"""Seconds that ranks wait for each other in a collective. Those that wait in different ones shall
raise, not be killed."""

_OF_TORCH = [
    # Importing torch.distributed.optim compiles torch's functional optimizers.
    (DeprecationWarning, r"`torch\.jit\.\w+` is deprecated"),
    # The checkpoints of FSDP1 ask for a device by a function that torch is about to drop,
    # which does not know that gloo stands for two kinds of devices.
    (UserWarning, r"`_get_pg_default_device` will be deprecated"),
    (UserWarning, r"Multiple backends are registered with this ProcessGroup"),
    # They also are of a kind of tensor that torch has given up.
    (FutureWarning, r"Please use DTensor instead and we are deprecating ShardedTensor"),
]
"""Warnings that torch gives of its own code; all others are errors, as in pytest."""


@dataclass(frozen=True)
class RankError:
    """What a process raised, or why it has no result."""

    text: str


class Results(dict[str, list[Any]]):
    """Function name to the result of each rank, a :class:`RankError` where there is none."""

    def of(self, name: str) -> list[Any]:
        """Return the results of one function by rank.

        Raises:
            AssertionError: It failed on a rank; the message holds the tracebacks.
        """
        failed = [(rank, r) for rank, r in enumerate(self[name]) if isinstance(r, RankError)]
        if failed:
            told = "\n".join(f"--- {name}, rank {rank}:\n{error.text}" for rank, error in failed)
            raise AssertionError(f"{name} failed on {len(failed)} ranks\n{told}")
        return self[name]


def run_ranks(
    module: str, functions: Sequence[str], processes: int = 2, deadline: float = DEADLINE
) -> Results:
    """Run functions of a module on every rank, in the given order.

    Args:
        module: Importable name. Its functions take a folder that all ranks share, empty at
            first, and return something that can be pickled.
        functions: Names of functions.
        processes: Number of ranks.
        deadline: Seconds without any progress after which all processes are killed.

    Returns:
        Results by function and rank. A function that raises, or that hangs, has a
        :class:`RankError` and lets the others run, those after one that hangs excepted.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "names").write_text("\n".join(functions))
        with _started(module, processes, folder) as ranks:
            _wait(ranks, folder, deadline)
        logs = [(folder / f"log.{rank}").read_text() for rank in range(processes)]
        return Results(
            {
                function: [_read(folder, function, rank, log) for rank, log in enumerate(logs)]
                for function in functions
            }
        )


@contextmanager
def _started(module: str, processes: int, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",  # the host's own name may not resolve
        "TORCH_SHOW_CPP_STACKTRACES": "0",
    }
    ranks = []
    try:
        for rank in range(processes):
            command = [preloaded_python(), "-m", "tests.integrations.distributed.harness"]
            with (folder / f"log.{rank}").open("wb") as log:
                ranks.append(
                    subprocess.Popen(
                        [*command, module, str(rank), str(processes), str(folder)],
                        cwd=ROOT,
                        env=environment,
                        stdin=subprocess.PIPE,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        yield ranks
    finally:
        for process in ranks:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _wait(ranks: list[subprocess.Popen[bytes]], folder: Path, deadline: float) -> None:
    seen, since, died = 0.0, time.monotonic(), False
    while any(process.poll() is None for process in ranks):
        ready = len(list(folder.glob("ready.*")))
        done = ready + len(list(folder.glob("result.*")))
        done += sum(path.stat().st_mtime for path in folder.glob("beat.*"))
        if not died and (done > seen or any(process.poll() for process in ranks)):
            # Nothing more can come of a rank whose peer has died but the present result.
            died = any(process.poll() for process in ranks)
            seen, since = done, time.monotonic()
        allowed = deadline if ready == len(ranks) else max(deadline, _START)
        if time.monotonic() - since > (min(allowed, _AFTER_DEATH) if died else allowed):
            _show_stacks(ranks)
            return
        time.sleep(0.02)


def _show_stacks(ranks: list[subprocess.Popen[bytes]]) -> None:
    """Let every process write where it stands to its log."""
    for process in ranks:
        if process.poll() is None:
            process.send_signal(signal.SIGUSR1)
    time.sleep(1.0)


def _read(folder: Path, function: str, rank: int, log: str) -> Any:
    path = folder / f"result.{function}.{rank}"
    if path.exists():
        return pickle.loads(path.read_bytes())
    began = (folder / f"began.{function}.{rank}").exists()
    what = "no result: it hangs or its process died" if began else "was not reached"
    return RankError(f"{what}; output of the process:\n{log[-8000:]}")


# ------------------------------------------------------------------------ in each process

_beats: list[Path] = []


def beat() -> None:
    """Tell that this process makes progress; long functions do so now and then."""
    for path in _beats:
        path.touch()


def _main(module: str, rank: int, processes: int, folder: Path) -> None:
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _beats.append(folder / f"beat.{rank}")
    cases = importlib.import_module(module)
    _meet(folder, "ready", rank, processes)
    for name in (folder / "names").read_text().split():
        # A rank may still wait for one that failed in the function before.
        _meet(folder, f"began.{name}", rank, processes)
        shared, store = folder / f"shared.{name}", folder / f"store.{name}"
        result = _run(getattr(cases, name), shared, store, rank, processes)
        _write(folder / f"result.{name}.{rank}", result)
    # Threads of gloo and of autograd may hold a process up that has nothing left to do.
    sys.stdout.flush()
    os._exit(0)


def _meet(folder: Path, name: str, rank: int, processes: int) -> None:
    """Wait for all ranks, as long as it takes: the parent looks after the time."""
    (folder / f"{name}.{rank}").touch()
    while len(list(folder.glob(f"{name}.*"))) < processes:
        time.sleep(0.01)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _run(function: Any, folder: Path, store: Path, rank: int, processes: int) -> Any:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    try:
        dist.init_process_group(
            "gloo",
            store=dist.FileStore(str(store), processes),
            rank=rank,
            world_size=processes,
            timeout=timedelta(seconds=_COLLECTIVE),
        )
        # All are connected: one that closes its connections now does not leave others connecting.
        dist.barrier()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for category, message in _OF_TORCH:
                warnings.filterwarnings("ignore", message, category)
            return function(folder)
    except BaseException:
        return RankError(traceback.format_exc())
    finally:
        # Closes the connections, so that a rank that waits for this one raises too.
        if dist.is_initialized():
            dist.destroy_process_group()


def _write(path: Path, result: Any) -> None:
    partial = path.with_name(f"partial.{path.name}")
    try:
        partial.write_bytes(pickle.dumps(result))
    except Exception:
        partial.write_bytes(pickle.dumps(RankError(traceback.format_exc())))
    partial.rename(path)


if __name__ == "__main__":
    # As the importable module, so that its classes are the same ones in a pickle.
    importlib.import_module("tests.integrations.distributed.harness")._main(
        sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    )
