"""User code by reference: ``FILE.py:NAME`` or ``package.module:NAME``.

A file is imported under its own name, with its folder on the import path, as Python does where it
runs a file. Names in the running script are read from it, without a second import.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module, invalidate_caches
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from ecd_tune.errors import EcdTuneError, TaskError, did_you_mean, hint

__all__ = [
    "importing",
    "is_reference",
    "load_reference",
    "place_of",
    "place_reference",
    "reference_to",
    "short_reference",
    "trim_traceback",
]

_SUFFIX = ".py"
_MAIN = "__main__"
_under_way: list[str] = []


def is_reference(name: str) -> bool:
    """Return whether a name is a reference; names of registries have no colon."""
    return ":" in name


def load_reference(reference: str) -> Any:
    """Import what a reference names.

    Args:
        reference: ``FILE.py:NAME``, relative to the working folder, or ``package.module:NAME``.

    Returns:
        The attribute.

    Raises:
        TaskError: There is no such file, module or name, or the import fails.
    """
    home, name = _split(reference)
    module = _load_file(home) if home.endswith(_SUFFIX) else _load_module(home)
    try:
        return attrgetter(name)(module)
    except AttributeError:
        tasks = sorted(key for key, value in vars(module).items() if hasattr(value, "define"))
        raise TaskError(f"{reference}: {home} has no task {name!r}{hint(name, tasks)}") from None


def importing() -> str | None:
    """Return the file or module that is being imported for a reference, or None."""
    return _under_way[-1] if _under_way else None


def short_reference(reference: str) -> str:
    """Return a reference without the folder of its file: the same on every machine."""
    home, name = _split(reference)
    return f"{Path(home).name}:{name}" if home.endswith(_SUFFIX) else reference


def place_reference(reference: str, folder: Path) -> str:
    """Return a reference whose file is relative to another folder than the working folder.

    Args:
        reference: As in a study file.
        folder: Folder of the study file.

    Returns:
        The same reference, relative to the working folder; of a module unchanged.
    """
    home, name = _split(reference)
    return f"{folder / home}:{name}" if home.endswith(_SUFFIX) else reference


def reference_to(module: str, name: str) -> str:
    """Return the reference under which any process finds something.

    Args:
        module: The ``__module__`` of the object.
        name: Its ``__qualname__``.

    Returns:
        A file's where it belongs to the script that is running; ``__main__:NAME`` in a notebook,
        where no other process finds it.

    Raises:
        TaskError: It is defined inside a function.
    """
    if "<locals>" in name:
        raise TaskError(
            f"{name.replace('.<locals>', '')}: is defined inside a function, where workers cannot "
            "find it; define it at the top level of a file"
        )
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    # At a prompt, or where a script is read from standard input, there is none. A file next to the
    # script is not importable for a process that was started elsewhere.
    own = module == _MAIN or Path(file).stem == module
    if own and file.endswith(_SUFFIX) and Path(file).is_file():
        return f"{Path(file).resolve()}:{name}"
    return f"{module}:{name}"


def place_of(error: BaseException, skip: Path) -> str:
    """Describe the line of user code that an error comes from.

    Args:
        error: The error.
        skip: Folder of a package whose lines are skipped if others are available.

    Returns:
        For example ``"my_file.py, line 12: loss = model(x)"``; empty without a traceback.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename, skip)]
    if not frames:
        return ""
    frame = (own or frames)[-1]
    return f"{frame.filename}, line {frame.lineno}: {(frame.line or '').strip()}"


def trim_traceback(error: BaseException, skip: Path) -> None:
    """Remove the entries above user code from an error's traceback.

    Args:
        error: The error; its traceback, and that of its cause, begin then with the first line of
            the reader's. Where there is none, an error of ours has no traceback, and any other
            keeps its own.
        skip: As for :func:`place_of`.
    """
    for one in (error, error.__cause__):
        if one is not None:
            frame = one.__traceback__
            while frame is not None and not _is_own(frame.tb_frame.f_code.co_filename, skip):
                frame = frame.tb_next
            if frame is not None or isinstance(one, EcdTuneError):
                one.__traceback__ = frame


def _is_own(file: str, skip: Path) -> bool:
    library = (str(skip), "site-packages", "dist-packages", "<frozen", sys.base_prefix + "/lib")
    return not any(part in file for part in library)


def _split(reference: str) -> tuple[str, str]:
    home, _, name = reference.rpartition(":")
    if not home or not all(part.isidentifier() for part in name.split(".")):
        raise TaskError(
            f"{reference!r}: is not a reference; write FILE.py:NAME or package.module:NAME"
        )
    return home, name


def _load_file(home: str) -> ModuleType:
    path = Path(home).resolve()
    if not path.is_file():
        close = did_you_mean(path.name, (other.name for other in path.parent.glob(f"*{_SUFFIX}")))
        raise TaskError(f"{home}: there is no such file (looked for {path}){close}")
    main = sys.modules.get(_MAIN)
    for module in (main, sys.modules.get(path.stem)):
        if module is not None and _is_from(module, path):
            return module
    if path.stem in sys.modules or path.stem in sys.stdlib_module_names or "." in path.stem:
        raise TaskError(
            f"{home}: a module named {path.stem!r} cannot be imported from it, because another "
            "module has that name; rename the file"
        )
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
        invalidate_caches()
    module = _load_module(path.stem)
    if not _is_from(module, path):
        raise TaskError(
            f"{home}: {path.stem!r} is imported from {module.__file__}; rename the file"
        )
    return module


def _is_from(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path


def _load_module(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    _under_way.append(name)
    try:
        return import_module(name)
    except TaskError:
        raise
    except Exception as error:
        place = place_of(error, Path(__file__).parent)
        raise TaskError(
            f"{name} cannot be imported: {type(error).__name__}: {error} ({place})"
        ) from error
    finally:
        _under_way.pop()
