"""The page of studies and workers: content, escaping, and in a browser."""

from __future__ import annotations

import re
import subprocess

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna_dashboard import get_note, save_note

from ecd_tune.records import Outcome, Stage, Status
from ecd_tune.report.render.figures.parts.drawn import Drawn
from ecd_tune.report.render.figures.parts.style import new_panel
from ecd_tune.report.render.plots import to_plotly
from ecd_tune.serve import Settings, build_app
from ecd_tune.serve.notes import push_notes, push_plots
from ecd_tune.spec import SelectionSpec
from ecd_tune.store import QueueItem, Store, Worker
from ecd_tune.testing.store import complete, make_spec
from tests.preloaded import preloaded_python
from tests.serve.client import Client
from tests.serve.processes import Dashboard

OPTIMIZER = "ecdsep"
REPORT = "<!doctype html><title>A report</title>"
WORK = """
import sys, time
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store import complete, make_spec

spec, me = make_spec(trials=100_000), Worker.current()
with Store.open(sys.argv[1]) as store:
    while True:
        leases = store.ask(spec, "ecdsep", count=2, worker=me)
        store.tell(complete(leases[:1]))
        time.sleep(0.05)
        store.tell(complete(leases[1:]))
"""


@pytest.fixture
def spec():
    return make_spec()


@pytest.fixture
def client(url, spec, open_storage, tmp_path):
    """The page on a study with two results, a failure, a queued run and two running trials."""
    worker = Worker.current()
    with Store.open(url) as store:
        store.create(spec)
        leases = store.ask(spec, OPTIMIZER, count=5, worker=worker)
        store.tell(complete(leases[:2]))
        reason = "no <b>disk</b> at step 7"
        store.tell([(leases[2], Outcome(Status.FAILED, reason=reason, trace="Traceback"))])
        run = QueueItem(label="x", params={"lr": 0.4, "eta": 2.0}, seed=1, source="best")
        store.queue(spec.key(OPTIMIZER, Stage.CONFIRM), [run])
    report = tmp_path / "reports" / spec.name / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text(REPORT)
    settings = Settings(read_only=True, reports=tmp_path / "reports")
    return Client(build_app(open_storage(url), settings))


def test_progress_workers_failures_and_events_are_shown(client, spec) -> None:
    reply = client("GET", "/fleet")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    text = " ".join(reply.body.decode().split())
    assert "<p>3 finished, 13 remaining" in text
    assert 'class="n zero" data-name="lost">0' in text
    assert 'data-name="finished">3/6' in text
    assert 'data-name="running">2' in text
    assert f"{Worker.current().name}</td>" in text
    assert f"{spec.name}/{OPTIMIZER} #3, {spec.name}/{OPTIMIZER} #4" in text
    assert "no &lt;b&gt;disk&lt;/b&gt; at step N" in text
    assert "<td>exception</td>" in text
    assert "<b>" not in text
    assert '<a href="/dashboard/studies/1">' in text


def test_each_stage_has_a_name_of_its_own(url, spec, open_storage) -> None:
    selecting = spec.model_copy(update={"selection": SelectionSpec(top=2)})
    with Store.open(url) as store:
        store.create(selecting)
    page = Client(build_app(open_storage(url), Settings()))("GET", "/fleet").body.decode()
    names = re.findall(r'<a href="/dashboard/studies/\d+">([^<]*)</a>', page)
    assert names == [OPTIMIZER, f"{OPTIMIZER} select", f"{OPTIMIZER} confirm"]


def test_page_has_no_script_and_is_not_cached(client) -> None:
    reply = client("GET", "/fleet/")
    assert reply.status == 200
    assert b"<script" not in reply.body
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert reply.headers["cache-control"] == "no-store"
    assert client("HEAD", "/fleet").body == b""
    assert client("POST", "/fleet", origin="http://127.0.0.1:8080").status == 403


def test_the_report_of_a_study_is_linked_and_served(client, spec, tmp_path) -> None:
    path = f"/fleet/reports/{spec.name}"
    assert f'href="{path}"' in client("GET", "/fleet").body.decode()
    reply = client("GET", path)
    assert (reply.status, reply.body.decode()) == (200, REPORT)
    assert "script-src" not in reply.headers["content-security-policy"]
    (tmp_path / "reports" / spec.name / "report.html").unlink()
    assert client("GET", path).status == 404
    assert "reports/" not in client("GET", "/fleet").body.decode()


@pytest.mark.parametrize("name", ["..", "%2e%2e", "secret", "../secret", "a/../../secret"])
def test_other_paths_are_not_served(client, name, tmp_path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "report.html").write_text("secret")
    (tmp_path / "report.html").write_text("secret")
    reply = client("GET", f"/fleet/reports/{name}")
    assert reply.status == 404
    assert b"secret</" not in reply.body


def test_symbolic_links_out_of_the_folder_are_not_followed(client, spec, tmp_path) -> None:
    report = tmp_path / "reports" / spec.name / "report.html"
    report.unlink()
    (tmp_path / "elsewhere.html").write_text("secret")
    report.symlink_to(tmp_path / "elsewhere.html")
    assert client("GET", f"/fleet/reports/{spec.name}").status == 404


def test_an_outage_is_logged_with_its_cause_and_asked_again(url, spec, open_storage, monkeypatch):
    with Store.open(url) as store:
        store.create(spec)

    def fail(name: str) -> int:
        raise StorageInternalError("An exception is raised during the commit.") from OSError(
            "connection refused\n(Background on this error)"
        )

    storage = open_storage(url)
    monkeypatch.setattr(storage, "get_study_id_from_name", fail)
    client = Client(build_app(storage, Settings(read_only=True)))
    reply = client("GET", "/fleet")
    assert reply.status == 503
    assert reply.headers["refresh"] == "5"
    assert client.errors.getvalue() == "/fleet: connection refused\n"


def test_page_without_studies_explains_how_to_start(url, open_storage) -> None:
    Store.open(url).close()
    reply = Client(build_app(open_storage(url), Settings()))("GET", "/fleet")
    assert b"No studies yet" in reply.body
    assert b"No worker has been seen" in reply.body


def test_generated_notes_are_replaced_and_user_notes_kept(url, study) -> None:
    assert push_notes(url, {study.study_name: "*ours*\nfirst"}, "*ours*") == []
    assert push_notes(url, {study.study_name: "*ours*\nsecond " * 400}, "*ours*") == []
    again = optuna.load_study(study_name=study.study_name, storage=url)
    assert get_note(again) == "*ours*\nsecond " * 400
    save_note(again, "I saw something")
    assert push_notes(url, {study.study_name: "*ours*\nthird"}, "*ours*") == [study.study_name]
    assert (
        get_note(optuna.load_study(study_name=study.study_name, storage=url)) == "I saw something"
    )


WITH_LONG_URL = """p => {
    const text = document.createTextNode("x".repeat(300))
    p.prepend(text)
    const width = document.documentElement.scrollWidth
    text.remove()
    return width
}"""


def test_in_a_browser_while_a_study_runs(url, open_page, shoot, tmp_path) -> None:
    running = make_spec(trials=100_000)
    with Store.open(url) as store:
        store.create(running)
    figure, axes = new_panel("a line")
    axes.plot([0, 1], [0, 1])
    plot = to_plotly(Drawn("line", "", "A line", "", figure))
    push_plots(url, [running.key(OPTIMIZER).name], {"ecd-tune-line": plot})
    worker = subprocess.Popen([preloaded_python(), "-c", WORK, url])
    try:
        with Dashboard(url, tmp_path) as server:
            page = open_page()
            page.goto(f"http://127.0.0.1:{server.port}/fleet")
            # The page asks again by itself, and the study continues meanwhile.
            expect = pytest.importorskip("playwright.sync_api").expect
            expect.set_options(timeout=100_000)
            running = page.locator("[data-name='running trials']").first
            expect(running).to_contain_text("contract/ecdsep #")
            finished = page.locator("[data-name=finished]").first
            expect(finished).not_to_have_text(finished.text_content())
            expect(page.locator("#study-contract + p")).to_contain_text("left")
            for width in (390, 1400):
                page.set_viewport_size({"width": width, "height": 900})
                shoot(page, f"fleet-{width}")
                assert page.locator("p.soft").first.evaluate(WITH_LONG_URL) <= width
            assert page.errors == []
            page.goto(page.get_by_role("link", name="ecdsep", exact=True).evaluate("a => a.href"))
            expect(page.locator("#ecd-tune-read-only a")).to_have_text("studies and workers")
            plot = page.locator("[id='user-defined-plot:ecd-tune-line'] image")
            expect(plot).to_have_attribute("href", re.compile("^data:image/svg"))
            box = plot.bounding_box()
            assert box["width"] > 100
            assert box["height"] > 100
            assert page.errors == []
            shoot(page, "plots")
    finally:
        worker.kill()
        worker.wait()


def test_studies_with_work_left_come_first(url, spec, open_storage) -> None:
    with Store.open(url) as store:
        for name, end in (("a-complete", True), ("b-active", False)):
            alone = spec.confirmation.model_copy(update={"runs": 0})
            changes = {"name": name, "confirmation": alone}
            own = spec.model_copy(update=changes).with_overrides(trials=1)
            store.create(own)
            for optimizer in own.optimizers if end else ():
                store.tell(complete(store.ask(own, optimizer, count=1, worker=Worker.current())))
    text = Client(build_app(open_storage(url), Settings(read_only=True)))("GET", "/fleet").body
    assert text.index(b"study-b-active") < text.index(b"study-a-complete")
