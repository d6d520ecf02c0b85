"""The files under storage/k8s, against the published schemas and against each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.cli.test_documented_commands import parse

ROOT = Path(__file__).parents[2]
BASE = ROOT / "storage" / "k8s" / "base"
VERSIONS = ("1.31", "1.33", "1.37")
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())


def documents() -> Iterator[Any]:
    for name in KUSTOMIZATION["resources"]:
        yield from yaml.safe_load_all((BASE / name).read_text())


DOCUMENTS = list(documents())
TEMPLATES = [doc["spec"]["template"] for doc in DOCUMENTS if "template" in doc.get("spec", {})]
CONTAINERS = [
    container
    for template in TEMPLATES
    for kind in ("initContainers", "containers")
    for container in template["spec"].get(kind, ())
]


def find(kind: str) -> Any:
    (found,) = [doc for doc in DOCUMENTS if doc["kind"] == kind]
    return found


def workers() -> Any:
    (found,) = [doc for doc in DOCUMENTS if doc.get("spec", {}).get("completionMode") == "Indexed"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_documents_match_the_kubernetes_schema(version: str) -> None:
    for document in DOCUMENTS:
        kubernetes_validate.validate(document, version, strict=True)


def test_wrong_keys_are_detected() -> None:
    wrong = {**find("PodDisruptionBudget"), "spec": {"minAvailble": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_file_is_in_the_kustomization() -> None:
    files = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files


def test_passwords_come_from_secrets_that_git_ignores() -> None:
    given = re.findall(r"^(\w+)=", (BASE / "storage.env.example").read_text(), re.MULTILINE)
    used = set()
    for container in CONTAINERS:
        for variable in container.get("env", ()):
            if variable["name"] == "ECD_TUNE_STORAGE":
                used.add(variable["valueFrom"]["secretKeyRef"]["key"])
    assert used == set(given)
    ignored = (BASE / ".gitignore").read_text().split()
    for secret in KUSTOMIZATION["secretGenerator"]:
        assert set(secret.get("envs", secret.get("files"))) <= set(ignored)
    assert "postgresql://" not in "".join(path.read_text() for path in BASE.glob("*.yaml"))


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container["name"])
def test_containers_are_limited_and_closed(container: Any) -> None:
    for kind in ("requests", "limits"):
        assert set(container["resources"][kind]) == {"cpu", "memory"}
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_commands_are_valid() -> None:
    given = [container["args"] for container in CONTAINERS if "args" in container]
    assert len(given) == 3
    for arguments in given:
        parse(arguments)


def test_the_disruption_budget_is_that_of_the_workers() -> None:
    budget = find("PodDisruptionBudget")["spec"]
    labels = workers()["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert "maxUnavailable" not in budget  # does not work for the pods of a Job
    others = [template for template in TEMPLATES if template is not workers()["spec"]["template"]]
    for template in others:
        assert (
            not budget["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        )


def test_termination_grace_period_is_long_enough() -> None:
    template = workers()["spec"]["template"]["spec"]
    assert template["terminationGracePeriodSeconds"] >= 60
    (failing,) = [
        rule["onExitCodes"]["values"]
        for rule in workers()["spec"]["podFailurePolicy"]["rules"]
        if rule["action"] == "FailJob"
    ]
    assert failing == [2, 3]  # ecd_tune.cli.main: wrong input, gave up


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", ["base", "gpu"])
def test_kustomize_builds_valid_documents(folder: str, tmp_path: Path) -> None:
    shutil.copytree(BASE.parent, tmp_path, dirs_exist_ok=True)
    base = tmp_path / "base"
    shutil.copy(base / "storage.env.example", base / "storage.env")
    (base / "dashboard_users").write_text("# no one\n")
    built = subprocess.run(
        ["kubectl", "kustomize", tmp_path / folder], capture_output=True, text=True, check=True
    )
    found = list(yaml.safe_load_all(built.stdout))
    assert len(found) == len(DOCUMENTS) + len(KUSTOMIZATION["secretGenerator"])
    for document in found:
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
    assert ("nvidia.com/gpu" in built.stdout) == (folder == "gpu")
