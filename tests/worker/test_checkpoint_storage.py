"""Checkpoint storage named by a study file or a command line, and how it is opened."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.cli.worker import _checkpoints
from ecd_tune.errors import CheckpointError, SpecError
from ecd_tune.records import Lease, RunRequest, Stage, StudyKey
from ecd_tune.spec import CheckpointPlace, CheckpointSpec, parse_place, parse_study
from ecd_tune.worker import ArtifactCheckpoints, FolderCheckpoints, open_checkpoints
from ecd_tune.worker.checkpoint_storage.folder_checkpoints import default_folder
from tests.worker.buckets import AmazonHandler, Bucket, GoogleHandler, serving

STUDY = {
    "name": "small",
    "task": {"name": "zakharov"},
    "budget": {"trials": 1, "steps": 1},
    "optimizers": {"adam": {"space": {"lr": 0.1}}},
}


def make_lease(seed=1):
    request = RunRequest({"lr": 0.1}, seed, Stage.SEARCH)
    return Lease(StudyKey("study", "adam"), 10, 0, 100, 1, request)


class TestNames:
    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("none", CheckpointPlace("none")),
            ("kept/here", CheckpointPlace("folder", "kept/here")),
            ("~/kept", CheckpointPlace("folder", str(Path.home() / "kept"))),
            ("artifacts:/srv/a", CheckpointPlace("artifacts", "/srv/a")),
            ("s3://bucket", CheckpointPlace("s3", "bucket")),
            ("s3://bucket/a/b/", CheckpointPlace("s3", "bucket", "a/b/")),
            ("gs://bucket/a", CheckpointPlace("gs", "bucket", "a/")),
        ],
    )
    def test_valid_places(self, text, place):
        assert parse_place(text) == place

    @pytest.mark.parametrize("text", ["", "s3://", "gs:///a", "artifacts:", "http://host/a"])
    def test_invalid_places_list_the_allowed_ones(self, text):
        with pytest.raises(ValueError, match=r"allowed: a folder, .*s3://BUCKET"):
            parse_place(text)


class TestStudyFile:
    def test_the_table_is_read(self):
        table = {"place": "s3://bucket/a", "max_gib": 0.5, "every": 10}
        spec = parse_study({**STUDY, "checkpoints": table})
        assert spec.checkpoints == CheckpointSpec(place="s3://bucket/a", max_gib=0.5, every=10.0)

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"place": "ftp://a"}, r"\[checkpoints\]: place: .*'ftp://a': unknown kind of place"),
            ({"max_gib": 0}, r"\[checkpoints\]: max_gib: 0: "),
            ({"every": -1}, r"\[checkpoints\]: every: -1: "),
            ({"folder": "a"}, r"\[checkpoints\]: folder: unknown key"),
        ],
    )
    def test_wrong_tables_are_errors(self, table, message):
        with pytest.raises(SpecError, match=message):
            parse_study({**STUDY, "checkpoints": table})

    def test_place_is_not_part_of_the_fingerprint(self):
        plain, other = parse_study(STUDY), parse_study({**STUDY, "checkpoints": {"every": 5}})
        assert plain.fingerprint("adam") == other.fingerprint("adam")
        assert "checkpoints" not in plain.identity("adam")


class TestCommandLine:
    SPEC = parse_study({**STUDY, "checkpoints": {"place": "kept", "max_gib": 1, "every": 9}})

    def test_study_file_is_the_default(self):
        assert _checkpoints(self.SPEC, None, None) == self.SPEC.checkpoints
        assert _checkpoints(self.SPEC, "", None) == self.SPEC.checkpoints

    def test_options_override_the_study_file(self):
        laid = _checkpoints(self.SPEC, "none", 0.25)
        assert laid == CheckpointSpec(place="none", max_gib=0.25, every=9.0)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--checkpoints", "ftp://a"], "--checkpoints 'ftp://a': unknown kind"),
            (["--checkpoint-limit", "0"], "--checkpoint-limit 0: must be"),
            (["--checkpoint-limit", "nan"], "--checkpoint-limit nan: must be"),
        ],
    )
    def test_wrong_options_fail_at_start(self, options, message, tmp_path):
        storage = f"sqlite:///{tmp_path}/a.db"
        result = CliRunner().invoke(app, ["worker", "zakharov", "--storage", storage, *options])
        assert isinstance(result.exception, CheckpointError)
        assert message in str(result.exception)
        assert not (tmp_path / "a.db").exists()


class TestOpening:
    def test_no_checkpoints(self):
        assert open_checkpoints(CheckpointSpec(place="none")) is None

    def test_a_folder(self, tmp_path):
        spec = CheckpointSpec(place=str(tmp_path), max_gib=0.5, every=7)
        kept = open_checkpoints(spec)
        assert isinstance(kept, FolderCheckpoints)
        assert (kept.folder, kept.max_bytes, kept.interval) == (tmp_path, 2**29, 7.0)

    def test_the_folder_by_default(self):
        kept = open_checkpoints()
        assert isinstance(kept, FolderCheckpoints)
        assert (kept.folder, kept.max_bytes, kept.interval) == (default_folder(), 2**31, 60.0)

    def test_a_folder_of_artifacts(self, tmp_path):
        kept = open_checkpoints(CheckpointSpec(place=f"artifacts:{tmp_path}/a"))
        assert isinstance(kept, ArtifactCheckpoints)
        kept.handle(make_lease()).save(b"data")
        assert len(list((tmp_path / "a").iterdir())) == 1
        assert repr(kept) == f"checkpoints in artifacts:{tmp_path}/a"

    def test_a_folder_of_artifacts_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(CheckpointError, match="cannot be created"):
            open_checkpoints(CheckpointSpec(place=f"artifacts:{tmp_path}/file/a"))

    @pytest.mark.parametrize(
        ("place", "package", "extra"),
        [("s3://b", "boto3", "s3"), ("gs://b", "google.cloud.storage", "gcs")],
    )
    def test_a_missing_package_is_named(self, monkeypatch, place, package, extra):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(CheckpointError, match=rf"{package}.*ecd_tune\[{extra}\]"):
            open_checkpoints(CheckpointSpec(place=place))


def open_amazon(monkeypatch, bucket):
    pytest.importorskip("boto3", reason="needs the extra s3")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    return lambda **options: open_checkpoints(CheckpointSpec(place="s3://mine/a/b", **options))


def open_google(monkeypatch, bucket):
    pytest.importorskip("google.cloud.storage", reason="needs the extra gcs")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.url)
    return lambda **options: open_checkpoints(CheckpointSpec(place="gs://mine/a/b", **options))


class TestBuckets:
    """Through the real client libraries, against a server of this test's own."""

    KINDS = ((AmazonHandler, open_amazon), (GoogleHandler, open_google))

    @pytest.fixture(params=KINDS, ids=["s3", "gs"])
    def bucket(self, request, monkeypatch):
        handler, opener = request.param
        with serving(handler, Bucket()) as bucket:
            bucket.open = opener(monkeypatch, bucket)
            yield bucket

    def test_the_last_saved_is_loaded_by_any_worker_and_removed_after_success(self, bucket):
        first = bucket.open()
        slot = first.handle(make_lease())
        assert slot.load() is None
        for data in (b"one", b"two", b"three"):
            slot.save(data)
            assert bucket.open().handle(make_lease()).load() == data
        names = [name.partition("mine/a/b/")[2] for name in bucket.objects]
        assert [name[-2:] for name in names] == [".0"]
        first.discard(make_lease())
        assert bucket.objects == {}

    def test_one_save_logs_no_warning(self, bucket, caplog):
        kept = bucket.open()
        with caplog.at_level(logging.WARNING):
            kept.handle(make_lease()).save(b"one")
            kept.discard(make_lease())
        assert bucket.objects == {}
        assert caplog.text == ""

    def test_a_damaged_object_is_not_loaded(self, bucket):
        bucket.open().handle(make_lease()).save(b"one")
        (name,) = bucket.objects
        bucket.objects[name] = bucket.objects[name][:-1]
        slot = bucket.open().handle(make_lease())
        assert slot.load() is None
        slot.save(b"two")
        assert bucket.open().handle(make_lease()).load() == b"two"

    def test_size_limit_applies_to_reading_and_writing(self, bucket, caplog):
        limit = 10 / 2**30
        bucket.open(max_gib=1.0).handle(make_lease()).save(b"x" * 11)
        assert bucket.open(max_gib=limit).handle(make_lease()).load() is None
        before = dict(bucket.objects)
        bucket.open(max_gib=limit).handle(make_lease(2)).save(b"x" * 11)
        assert bucket.objects == before
        assert "exceeds the limit of 10" in caplog.text


def test_worker_imports_no_optional_packages() -> None:
    """The clients of all clouds that are installed, and scipy's distributions: two seconds."""
    code = (
        "import sys, ecd_tune.worker.loop, ecd_tune.worker.checkpoint_storage.places\n"
        "sys.exit(any(name in sys.modules for name in "
        "('scipy.stats', 'boto3', 'google.cloud.storage')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
