"""Answers as notes of Optuna's studies, and plots."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import optuna
from optuna_dashboard import get_note, save_note
from typer.testing import CliRunner

from ecd_tune.cli.main import app
from ecd_tune.report import NOTE_BEGINS
from ecd_tune.serve.dashboard_internals import get_plotly_graph_objects
from ecd_tune.spec import load_study
from ecd_tune.store import Store, Worker
from ecd_tune.testing.store import complete

STUDY = """
name = "noted"
title = "<img src=x> costs $5 and *more*"
task = { name = "zakharov" }
budget = { trials = 3, steps = 5 }
confirmation = { runs = 0 }
[optimizers.ecdsep.space]
lr = { low = 0.1, high = 1.0 }
eta = { low = 1.0, high = 6.0 }
[optimizers.sgd.space]
lr = { low = 0.1, high = 1.0 }
"""


def test_each_optimizer_has_the_answer_and_its_own_best_as_a_note(tmp_path: Path) -> None:
    file, url = tmp_path / "noted.toml", f"sqlite:///{tmp_path / 'a.db'}"
    file.write_text(STUDY)
    spec = load_study(file)
    with Store.open(url) as store:
        store.create(spec)
        leases = store.ask(spec, "ecdsep", count=3, worker=Worker.current())
        store.tell(complete(leases))
    own = optuna.load_study(study_name="noted/sgd", storage=url)
    save_note(own, "mine")

    command = ["report", str(file), "--storage", url, "--out", str(tmp_path), "--format", "json"]
    plain = CliRunner().invoke(app, command)
    assert plain.exit_code == 0, plain.output
    ecdsep = optuna.load_study(study_name="noted/ecdsep", storage=url)
    assert get_note(ecdsep) == ""

    noted = CliRunner().invoke(app, [*command, "--note"])
    assert noted.exit_code == 0, noted.output
    note = get_note(optuna.load_study(study_name="noted/ecdsep", storage=url))
    assert note.startswith(NOTE_BEGINS)
    assert r"\<img src=x\> costs \$5 and \*more\*" in note
    assert "There is no confirmed answer yet" in note
    assert f"- lr = {ecdsep.best_params['lr']}"[:12] in note
    assert "(/fleet/reports/noted)" in note
    assert "noted/sgd: the existing note was written by a user and is kept" in noted.stderr
    assert get_note(optuna.load_study(study_name="noted/sgd", storage=url)) == "mine"

    # Both show the same plots of the whole study; a second report changes no row of them.
    shown = [stored_plots(url, f"noted/{key}") for key in ("ecdsep", "sgd")]
    assert shown[0] == shown[1]
    assert list(shown[0]) == ["ecd-tune-search-trials"]
    plot = json.loads(shown[0]["ecd-tune-search-trials"])
    assert plot["layout"]["title"]["text"].startswith("The best value by number of trials")
    (image,) = plot["layout"]["images"]
    kind, _, data = image["source"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    drawing = ElementTree.fromstring(base64.b64decode(data))
    assert {"ECDSep", "trials"} <= {(node.text or "").strip() for node in drawing.iter()}
    before = Path(tmp_path / "a.db").read_bytes()
    again = CliRunner().invoke(app, [*command, "--note"])
    assert again.exit_code == 0, again.output
    assert Path(tmp_path / "a.db").read_bytes() == before


def stored_plots(url: str, name: str) -> dict[str, str]:
    study: Any = optuna.load_study(study_name=name, storage=url)
    attrs = study._storage.get_study_system_attrs(study._study_id)
    return dict(sorted(get_plotly_graph_objects(attrs).items()))
