"""docker-compose.yml and the Dockerfile, read as compose reads them.

There need not be a Docker here: variables are filled in by the rules of the Compose
specification (``${NAME}``, ``${NAME:-default}``, ``${NAME:?message}``).
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-?])([^}]*))?\}|\$)")
GIVEN = {"ECD_TUNE_SECRETS": "/srv/secrets"}


class MissingError(Exception):
    """Compose would stop here."""


def fill(node, given):
    if isinstance(node, dict):
        return {key: fill(value, given) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(item, given) for item in node]
    if not isinstance(node, str):
        return node

    def replace(match):
        name, how, rest = match.groups()
        if name is None:
            return "$"
        value = given.get(name, "")
        if value or (name in given and how in ("-", "?")):
            return value
        if how in (":?", "?"):
            raise MissingError(f"{name}: {rest}")
        return rest if how in (":-", "-") else ""

    return VARIABLE.sub(replace, node)


@pytest.fixture(scope="module")
def raw():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def compose(raw):
    return fill(raw, GIVEN)


@pytest.fixture(scope="module")
def services(compose):
    return compose["services"]


def test_it_stops_with_a_message_when_no_password_is_given(raw):
    with pytest.raises(MissingError, match=r"ECD_TUNE_SECRETS: set ECD_TUNE_SECRETS .*new-secrets"):
        fill(raw, {})
    with pytest.raises(MissingError):
        fill(raw, {"ECD_TUNE_SECRETS": ""})


def test_no_password_in_the_file_or_environment(compose, services):
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key:
                assert key.endswith("_FILE"), (name, key)
                assert value.removeprefix("/run/secrets/") in service["secrets"], (name, key)
            assert not re.search(r"://[^@/]*:[^@/]*@", str(value)), "a password in a URL"
        assert "trust" not in str(service)
    for secret in compose["secrets"].values():
        assert secret["file"].startswith("/srv/secrets/")


def test_used_and_declared_secrets_match(compose, services):
    used = {secret for service in services.values() for secret in service.get("secrets", [])}
    assert used == compose["secrets"].keys()


def test_each_service_has_the_role_that_it_needs_and_no_other(services):
    roles = {"upgrade": "owner", "worker": "worker", "worker-gpu": "worker", "dashboard": "reader"}
    for name, role in roles.items():
        service = services[name]
        assert f"//ecd_{role}@database" in service["environment"]["ECD_TUNE_STORAGE"]
        assert [s for s in service["secrets"] if s.endswith("_password")] == [f"{role}_password"]


def test_ports_are_published_on_loopback_only(services):
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published.keys() == {"database", "proxy"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert all("network_mode" not in service for service in services.values())


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "https://localhost:8443"),
        ({"DASHBOARD_HOST": "tune.example.org", "DASHBOARD_PORT": "443"},
         "https://tune.example.org:443"),
    ],
)  # fmt: skip
def test_the_dashboard_stands_behind_the_proxy_and_both_know_its_name(raw, given, url):
    services = fill(raw, {**GIVEN, **given})["services"]
    dashboard, proxy = services["dashboard"], services["proxy"]
    command = dashboard["command"]
    assert command[command.index("--behind-proxy") + 1] == url
    assert "--read-only" in command
    assert "ports" not in dashboard
    assert f"'Host': '{url.removeprefix('https://')}'" in dashboard["healthcheck"]["test"][-1]
    environment = proxy["environment"]
    assert environment["ECD_TUNE_DASHBOARD_URL"] == url
    assert environment["ECD_TUNE_DASHBOARD_UPSTREAM"] == "dashboard:8080"
    assert command[command.index("--port") + 1] == "8080"
    assert environment["ECD_TUNE_DASHBOARD_USERS"] == f"/run/secrets/{proxy['secrets'][0]}"
    port = url.rpartition(":")[2]
    assert proxy["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"/dev/tcp/127.0.0.1/{port}" in proxy["healthcheck"]["test"][-1]
    assert dashboard["read_only"] is proxy["read_only"] is True


def test_the_proxy_gets_what_its_file_asks_for(services):
    asked = set(re.findall(r"\{\$(\w+)", (ROOT / "storage/Caddyfile").read_text()))
    assert asked == services["proxy"]["environment"].keys()
    build = services["proxy"]["build"]
    text = (ROOT / build["context"] / build["dockerfile"]).read_text()
    assert "COPY Caddyfile " in text
    (data,) = re.findall(r"XDG_DATA_HOME=(\S+)", text)
    assert services["proxy"]["volumes"] == [f"proxy:{data}"]
    assert f"--owner caddy --group caddy --mode 700 {data}\n" in text
    assert re.search(r"^USER caddy$", text, re.MULTILINE)
    assert re.search(r"^FROM debian:\d+\.\d+-slim$", text, re.MULTILINE)


def test_commands_exist(services):
    from typer.testing import CliRunner

    from ecd_tune.cli.main import app

    for name in ("upgrade", "worker", "worker-gpu", "dashboard"):
        command = [part for part in services[name]["command"] if not part.startswith("/run/")]
        words = command[:2] if name == "upgrade" else command[:1]
        shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"}).stdout
        assert "Usage" in shown
        for option in (part for part in command if part.startswith("--")):
            assert option in shown


def test_services_have_limits_and_health_checks(services):
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert limits.keys() >= {"cpus", "memory", "pids"}, name
        assert "no-new-privileges:true" in service["security_opt"], name
    assert services["database"]["healthcheck"]["test"][1] == "pg_isready"
    assert "/api/meta" in services["dashboard"]["healthcheck"]["test"][-1]
    assert "healthcheck" in services["proxy"]


def test_workers_wait_for_the_tables_and_the_tables_for_the_database(services):
    assert services["upgrade"]["command"] == ["db", "upgrade"]
    assert services["upgrade"]["restart"] == "no"
    assert services["upgrade"]["depends_on"]["database"]["condition"] == "service_healthy"
    for name in ("worker", "worker-gpu", "dashboard"):
        assert services[name]["depends_on"] == {
            "upgrade": {"condition": "service_completed_successfully"}
        }


def test_workers_scale_and_the_gpu_is_asked_for(services):
    for service in services.values():
        assert "container_name" not in service
    assert "ports" not in services["worker"]
    assert services["worker-gpu"]["profiles"] == ["gpu"]
    assert all("profiles" not in s for name, s in services.items() if name != "worker-gpu")
    (device,) = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert services["worker-gpu"]["build"]["args"]["TORCH_INDEX"] == "https://pypi.org/simple"
    assert services["worker"]["image"] != services["worker-gpu"]["image"]


def test_the_data_outlives_the_container_and_files_mounted_are_there(compose, services):
    volumes = services["database"]["volumes"]
    assert "database:/var/lib/postgresql/data" in volumes
    assert "database" in compose["volumes"]
    for volume in volumes[1:]:
        source, _, mode = volume.split(":")
        assert (ROOT / source).exists()
        assert mode == "ro"


def test_workers_share_their_checkpoints_and_read_the_data(raw, services):
    given = {**GIVEN, "ECD_TUNE_DATA": "/srv/data"}
    for name in ("worker", "worker-gpu"):
        service = fill(raw, given)["services"][name]
        mounted = {v.split(":")[1]: v for v in service["volumes"]}
        environment = service["environment"]
        assert mounted["/data"] == "/srv/data:/data:ro"
        assert environment["ECD_TUNE_DATA"] == "/data"
        for variable in ("ECD_TUNE_CHECKPOINTS", "ECD_TUNE_CACHE"):
            place = Path(environment[variable]).parent
            assert mounted[str(place)] == f"work:{place}"
            assert f"--mode 700 {place}\n" in (ROOT / "Dockerfile").read_text()
        named = {v.split(":")[0] for v in services[name]["volumes"]}
        assert named <= raw["volumes"].keys()


def test_image_installs_existing_extras(services):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (given,) = re.findall(r"^ARG EXTRAS=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(given.split(",")) <= extras["optional-dependencies"].keys()
    for name in ("upgrade", "worker", "worker-gpu", "dashboard"):
        assert services[name]["build"]["args"]["EXTRAS"] == given


def test_images_are_pinned_and_do_not_run_as_root(services):
    text = (ROOT / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    for image in (*bases, services["database"]["image"]):
        assert re.search(r":\d+\.\d+(\.\d+)?-", image), image
    instructions = re.findall(r"^(\w+) +(.*)$", text, re.MULTILINE)
    user = [value for name, value in instructions if name == "USER"]
    assert user == ["ecd"]
    assert instructions.index(("USER", "ecd")) > max(
        i for i, (name, _) in enumerate(instructions) if name in ("RUN", "COPY")
    )
    assert "--constraint constraints.txt" in text
    for source in re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", text, re.MULTILINE):
        allowed = (ROOT / ".dockerignore").read_text().splitlines()
        for path in source.split():
            assert (ROOT / path).exists()
            assert f"!{path}" in allowed


def test_the_entry_point_takes_the_password_from_its_file(tmp_path):
    fake = tmp_path / "ecd-tune"
    fake.write_text('#!/bin/sh\necho "$PGPASSWORD|$*"\n')
    fake.chmod(0o755)
    secret = tmp_path / "secret"
    secret.write_text("word with space")
    script = ROOT / "storage/entrypoint.sh"

    def run(**env):
        return subprocess.run(
            [script, "worker", "a b"], env={"PATH": f"{tmp_path}:/usr/bin:/bin", **env},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert run(PGPASSWORD_FILE=str(secret)).stdout == "word with space|worker a b\n"
    assert run().stdout == "|worker a b\n"
    missing = run(PGPASSWORD_FILE="/nowhere")
    assert missing.returncode == 1
    assert "cannot read the password file /nowhere" in missing.stderr
