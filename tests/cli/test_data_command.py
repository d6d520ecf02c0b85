"""``ecd-tune data``: present data, and downloads from a local server."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecd_tune.cli._download import fetch
from ecd_tune.cli.main import app
from ecd_tune.errors import TaskError
from ecd_tune.registry import TASKS, load_attribute
from ecd_tune.tasks.data import Layout
from ecd_tune.tasks.data_sets import DataSet, Download
from ecd_tune.tasks.needed_data import DATA_SETS, missing_data

CONTENT = bytes(range(256)) * 4096
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def pack(names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return buffer.getvalue()


FILES = {
    "/whole": CONTENT,
    "/short": CONTENT,
    "/graph.zip": pack(["arxiv/raw/edge.csv", "arxiv/../../escaped", "arxiv/split/x.csv"]),
    "/flat.zip": pack(["a", "b"]),
}


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path not in FILES:
            self.send_error(404)
            return
        content = FILES[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // (2 if self.path == "/short" else 1)])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ECD_TUNE_DATA", str(tmp_path))
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ["data", *map(str, arguments)])


def silent(count, total):
    pass


@pytest.mark.parametrize("digest", [f"md5:{MD5}", f"sha256:{SHA256}", ""])
def test_file_is_downloaded_completely(server, tmp_path, digest):
    seen = []
    file, sha256 = fetch(
        Download(f"{server}/whole", "deep/file.bin", digest),
        tmp_path,
        lambda count, total: seen.append((count, total)),
    )
    assert file == tmp_path / "deep/file.bin"
    assert file.read_bytes() == CONTENT
    assert sha256 == SHA256
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in file.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize(
    ("path", "digest", "message"),
    [
        ("/whole", "md5:" + "0" * 32, f"md5.*{MD5}"),
        ("/whole", "sha256:" + "0" * 64, SHA256),
        ("/short", "", f"{len(CONTENT) // 2} bytes read, {len(CONTENT) // 2} more expected"),
        ("/nowhere", "", "404"),
    ],
)
def test_wrong_or_partial_download_is_removed(server, tmp_path, path, digest, message):
    kept = tmp_path / "file.bin"
    kept.write_bytes(b"what was here before")
    with pytest.raises(TaskError, match=message):
        fetch(Download(f"{server}{path}", "file.bin", digest), tmp_path, silent)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]
    assert kept.read_bytes() == b"what was here before"


def test_unreachable_server_is_an_error_with_the_file(tmp_path):
    with pytest.raises(TaskError, match=r"file\.bin: .*refused"):
        fetch(Download("http://127.0.0.1:9/x", "file.bin"), tmp_path, silent)


def test_archive_is_unpacked_only_into_its_folder(server, tmp_path):
    root = tmp_path / "root"
    download = Download(f"{server}/graph.zip", "graphs/g.zip", unpack="graphs/ogbn_arxiv")
    folder, _ = fetch(download, root, silent)
    assert (folder / "raw/edge.csv").read_text() == "arxiv/raw/edge.csv"
    assert folder == root / "graphs/ogbn_arxiv"
    assert [entry.name for entry in (root / "graphs").iterdir()] == ["ogbn_arxiv"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["root"]
    with pytest.raises(TaskError, match="2 entries instead of one folder"):
        fetch(Download(f"{server}/flat.zip", "f.zip", unpack="f"), root, silent)


def test_get_downloads_once_and_the_list_shows_it(server, run, monkeypatch, tmp_path):
    layouts = (Layout("official", ("file.bin",), "example.org"),)
    download = Download(f"{server}/whole", "file.bin", f"md5:{MD5}")
    monkeypatch.setitem(DATA_SETS, "made", DataSet("made", ("cora",), layouts, "free", (download,)))
    assert not entry(run, "made")["present"]
    first = run("get", "made")
    assert first.exit_code == 0, first.output
    assert SHA256 in first.stdout
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert entry(run, "made")["present"]
    monkeypatch.setitem(FILES, "/whole", b"not asked for again")
    assert "already present" in run("get", "made").stdout


def entry(run, name):
    return {e["name"]: e for e in json.loads(run("--json").stdout)}[name]


def test_manual_download_is_explained(run, tmp_path):
    result = run("get", "imagenet1k")
    assert isinstance(result.exception, TaskError)
    assert "image-net.org" in str(result.exception)
    assert str(tmp_path) in str(result.exception)
    assert "did you mean 'cifar100'" in str(run("get", "cifar-100").exception)


def test_without_a_data_root_it_says_so(run, monkeypatch, tmp_path):
    monkeypatch.delenv("ECD_TUNE_DATA")
    monkeypatch.setattr("ecd_tune.tasks.data._checkout_data", lambda: tmp_path / "none")
    told = "data root: none: ECD_TUNE_DATA is not set; set ECD_TUNE_DATA"
    assert run().stdout.splitlines()[0] == told
    assert "--root" in str(run("get", "cifar10").exception)


@pytest.mark.parametrize(("given", "state"), [(None, "not set"), ("", "empty")])
def test_the_folder_beside_a_checkout_is_named_with_the_reason(
    run, monkeypatch, tmp_path, given, state
):
    monkeypatch.setattr("ecd_tune.tasks.data._checkout_data", lambda: tmp_path)
    monkeypatch.delenv("ECD_TUNE_DATA")
    if given is not None:
        monkeypatch.setenv("ECD_TUNE_DATA", given)
    told = f"data root: {tmp_path} (next to the checkout; ECD_TUNE_DATA is {state})"
    assert run().stdout.splitlines()[0] == told


@pytest.mark.parametrize("columns", ["60", "20"])
def test_no_address_path_or_command_is_broken(run, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    words = run().stdout.split()
    for data_set in DATA_SETS.values():
        layout = data_set.layouts[0]
        needed = () if data_set.downloads else (layout.files[0], *layout.source.split())
        for word in needed:
            assert {word, f"{word},"} & set(words), word
    assert "https://image-net.org" in words
    lines = run().stdout.splitlines()
    if columns == "60":
        assert "  ecd-tune data get resnet18-imagenet" in lines
        assert max(map(len, lines[1:])) <= 60


def test_the_table_names_every_data_set_and_what_is_missing(run):
    lines = run().stdout.splitlines()
    for name in DATA_SETS:
        assert any(name in line for line in lines), name
    assert not any(" here " in line for line in lines)


def test_data_sets_are_well_formed_and_belong_to_tasks_that_exist():
    for name, data_set in DATA_SETS.items():
        assert data_set.name == name
        assert data_set.layouts
        assert data_set.licence
        assert data_set.tasks
        assert set(data_set.tasks) <= set(TASKS.names())
        for download in data_set.downloads:
            kind, _, digest = download.digest.partition(":")
            assert not kind or len(digest) == hashlib.new(kind).digest_size * 2
        for task in data_set.tasks:
            assert set(data_set.only_if) <= set(TASKS.get(task).options)


def test_cora_is_fetched_file_by_file_from_a_fixed_commit():
    downloads = DATA_SETS["cora"].downloads
    assert tuple(download.file for download in downloads) == DATA_SETS["cora"].layouts[0].files
    assert all("/af6abf468a772cc055bec88c52e4d6f51b7c37e3/" in d.url for d in downloads)


@pytest.mark.parametrize(
    ("task", "options", "missing"),
    [
        ("cora", {}, ["cora"]),
        ("cifar10", {}, ["cifar10"]),
        ("cifar10", {"source": "jpeg"}, ["cifar10-jpeg"]),
        ("cifar10", {"weights": "resnet20-cifar10"}, ["cifar10", "resnet-cifar10"]),
        ("imagenet1k", {"folder": "/elsewhere", "weights": ""}, []),
        ("glue_sst2", {}, ["glue-sst2"]),
        ("glue_sst2", {"model": "tiny"}, ["glue-sst2", "bert-vocabulary"]),
        ("char_lm", {}, ["glue-cola", "glue-sst2"]),
        ("zakharov", {}, []),
    ],
)
def test_what_a_task_needs_depends_on_its_options(task, options, missing, monkeypatch, tmp_path):
    monkeypatch.setenv("ECD_TUNE_DATA", str(tmp_path))
    assert [data_set.name for data_set in missing_data(task, options)] == missing


# The tables must name what the tasks themselves ask for.
@pytest.mark.parametrize(
    "name",
    [name for name in DATA_SETS if not name.startswith(("imagenet", "resnet", "bert"))],
)
def test_tasks_ask_for_the_files_that_the_table_names(name, monkeypatch, tmp_path):
    monkeypatch.setenv("ECD_TUNE_DATA", str(tmp_path))
    data_set = DATA_SETS[name]
    options = {"cifar10-jpeg": {"source": "jpeg"}, "tiny-imagenet-subset": {"source": "subset"}}
    task = load_attribute(TASKS.get(data_set.tasks[0]).factory)
    with pytest.raises(TaskError) as caught:
        task(**options.get(name, {}))
    for layout in data_set.layouts:
        for file in layout.files:
            assert file in str(caught.value)


def test_the_list_imports_no_torch():
    code = "import sys, ecd_tune.cli.main; sys.exit(bool({'torch', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_empty_root_has_nothing_and_one_layout_suffices(tmp_path: Path):
    data_set = DATA_SETS["cifar10"]
    assert data_set.found(None) is None
    assert data_set.found(tmp_path) is None
    (tmp_path / "cifar-10-python.tar.gz").touch()
    assert data_set.found(tmp_path).files == ("cifar-10-python.tar.gz",)
