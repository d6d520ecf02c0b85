"""Open the place for checkpoints that a study file or a command line names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ecd_tune.errors import CheckpointError
from ecd_tune.spec import CheckpointPlace, CheckpointSpec, parse_place
from ecd_tune.worker.checkpoint_storage.base import Checkpoints
from ecd_tune.worker.checkpoint_storage.folder_checkpoints import FolderCheckpoints, default_folder

if TYPE_CHECKING:
    from ecd_tune.worker.checkpoint_storage.artifact_checkpoints import Artifacts

__all__ = ["open_checkpoints"]

_CONNECT_SECONDS = 5
_READ_SECONDS = 60
_EXTRAS = {"s3": ("boto3", "s3"), "gs": ("google.cloud.storage", "gcs")}


def open_checkpoints(spec: CheckpointSpec = CheckpointSpec()) -> Checkpoints | None:  # noqa: B008
    """Open the place for checkpoints.

    Args:
        spec: Where, how large and how often.

    Returns:
        The checkpoints; None for no place.

    Raises:
        CheckpointError: The package that a bucket needs is not installed, or refuses to start.
    """
    place = CheckpointPlace("folder", str(default_folder()))
    if spec.place is not None:
        place = parse_place(spec.place)
    max_bytes = int(spec.max_gib * 2**30)
    if place.kind == "none":
        return None
    if place.kind == "folder":
        return FolderCheckpoints(Path(place.name), max_bytes, spec.every)
    # Optuna's artifact stores import the clients of all clouds that are installed.
    from ecd_tune.worker.checkpoint_storage.artifact_checkpoints import ArtifactCheckpoints

    if place.kind == "artifacts":
        store, slots = _open_folder(place.name), 2
    else:
        store, slots = _open_bucket(place), 1
    shown = spec.place or f"{place.kind}://{place.name}/{place.prefix}"
    return ArtifactCheckpoints(
        store, max_bytes, spec.every, prefix=place.prefix, shown=shown, slots=slots
    )


def _open_folder(folder: str) -> Artifacts:
    from optuna.artifacts import FileSystemArtifactStore

    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"checkpoints: artifacts:{folder}: the folder cannot be created: {error}; choose one "
            "with write access"
        ) from error
    return FileSystemArtifactStore(folder)


def _open_bucket(place: CheckpointPlace) -> Artifacts:
    package, extra = _EXTRAS[place.kind]
    try:
        import_module(package)
    except ImportError as error:
        raise CheckpointError(
            f"checkpoints: {place.kind}://{place.name} needs the package {package}, which is not "
            f"installed; run: pip install 'ecd_tune[{extra}]', or use a folder"
        ) from error
    try:
        return _open_s3(place.name) if place.kind == "s3" else _open_google(place.name)
    except Exception as error:
        # Each library has its own errors for missing credentials, without a common base class.
        raise CheckpointError(
            f"checkpoints: {place.kind}://{place.name}: {type(error).__name__}: {error}"
        ) from error


def _open_s3(bucket: str) -> Artifacts:
    import boto3
    from botocore.config import Config
    from optuna.artifacts import Boto3ArtifactStore

    # A save blocks the training: give up soon if the storage does not respond.
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"max_attempts": 2, "mode": "standard"},
    )
    return Boto3ArtifactStore(bucket, boto3.client("s3", config=config))


def _open_google(bucket: str) -> Artifacts:
    from optuna.artifacts import GCSArtifactStore

    return GCSArtifactStore(bucket)
