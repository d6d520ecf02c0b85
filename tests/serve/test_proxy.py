"""A real Caddy with `storage/Caddyfile` in front of a real dashboard."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from time import monotonic
from typing import NamedTuple

import optuna_dashboard
import pytest

from tests.serve.processes import CADDY, HANG, ROOT, Caddy, Dashboard, Waiting, basic, free_port

pytestmark = pytest.mark.skipif(CADDY is None, reason="no caddy on the PATH")

NAME, PASSWORD = "ada", "correct horse battery"
HASH = "$2b$04$bvcsQwmO0SsK7YAUMPwoc.a7ZK9iUyzN7boiYPzHCSnE3XtkKUPW2"
"""bcrypt of the password at the lowest cost, 4; `caddy hash-password` takes 14, a second each."""
NEW = b'{"study_name": "new", "directions": ["minimize"]}'
READ_HEADER_SECONDS = 10.0
"""`read_header` of the Caddyfile."""


class Servers(NamedTuple):
    caddy: Caddy
    dashboard: Dashboard


@pytest.fixture(scope="module")
def servers(shared_url, tmp_path_factory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("proxy")
    users = folder / "dashboard_users"
    users.write_text(f"# NAME HASH\n{NAME} {HASH}\n")
    port = free_port()
    options = ("--writable", "--behind-proxy", f"https://localhost:{port}")
    with (
        Dashboard(shared_url, folder, *options) as dashboard,
        Caddy(folder, users, dashboard.port, port) as caddy,
    ):
        yield Servers(caddy, dashboard)


@pytest.fixture
def caddy(servers) -> Caddy:
    return servers.caddy


def ask(caddy: Caddy, method: str, path: str, body=None, password=PASSWORD, **headers):
    login = {"Authorization": basic(NAME, password)} if password else {}
    return caddy.ask(method, path, body, **login, **headers)


def list_routes(storage) -> Iterator[tuple[str, str]]:
    """Return every method and path of the dashboard, with a number or a word for each variable."""
    for route in optuna_dashboard.wsgi(storage).routes:
        path = re.sub(r"<[^>]*int>", "1", route.rule)
        path = re.sub(r"<:re:\(/\.\*\)\?>", "/studies/1", path)
        yield route.method, re.sub(r"<[^>]*>", "bundle.js", path)


def test_every_route_needs_a_login(caddy, shared_url, open_storage):
    routes = list(list_routes(open_storage(shared_url)))
    assert len(routes) > 25
    assert {("DELETE", "/api/studies/1"), ("GET", "/static/bundle.js")} <= set(routes)
    others = [
        ("GET", "/nothing"),
        ("GET", "//"),
        ("GET", "/static/../api/studies"),
        ("HEAD", "/"),
        ("OPTIONS", "/api/studies"),
        ("WHATEVER", "/"),
    ]
    connection = caddy.open()
    for method, path in [*routes, *others]:
        headers = {"Origin": caddy.url, "Content-Type": "application/json"}
        connection.request(method, path, NEW, headers)
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (401, b""), (method, path)
        assert reply.getheader("WWW-Authenticate").startswith("Basic ")
    connection.close()
    assert len(json.loads(ask(caddy, "GET", "/api/studies")[1])["study_summaries"]) == 1


@pytest.mark.parametrize(
    "header",
    [
        basic(NAME, "not this one"),
        basic(NAME, ""),
        basic("bob", PASSWORD),
        f"Bearer {PASSWORD}",
        "Basic",
        "Basic ????",
    ],
)
def test_wrong_login_is_refused(caddy, header):
    for path in ("/api/studies", "/static/bundle.js"):
        reply, content = caddy.ask("GET", path, Authorization=header)
        assert (reply.status, content) == (401, b"")


def test_right_login_is_accepted(caddy):
    reply, content = ask(caddy, "GET", "/api/studies/1", Accept_Encoding="gzip")
    assert (reply.status, reply.getheader("Content-Encoding")) == (200, "gzip")
    assert reply.headers.get_all("Server") == ["Caddy"]
    assert len(content) < len(ask(caddy, "GET", "/api/studies/1")[1]) / 2
    assert ask(caddy, "GET", "/")[0].getheader("Location") == f"{caddy.url}/dashboard"
    reply, _ = ask(caddy, "GET", "/static/bundle.js", Accept_Encoding="gzip")
    assert (reply.status, reply.getheader("Content-Encoding")) == (200, "gzip")
    log = caddy.log.read_text()
    assert NAME in log
    assert PASSWORD not in log
    assert basic(NAME, PASSWORD).split()[1] not in log


def test_cross_site_write_with_cached_login_is_refused(caddy, servers):
    count = len(json.loads(ask(caddy, "GET", "/api/studies")[1])["study_summaries"])
    direct = f"http://127.0.0.1:{servers.dashboard.port}"
    kind = {"Content_Type": "application/json"}
    for origin in ("https://evil.example.org", "https://localhost", caddy.url.upper()[:4], direct):
        for method, path in (("POST", "/api/studies"), ("DELETE", "/api/studies/1")):
            reply, content = ask(caddy, method, path, NEW, Origin=origin, **kind)
            assert reply.status == 403, origin
            assert b"another site" in content
    assert ask(caddy, "POST", "/api/studies", NEW, **kind)[0].status == 403, "no evidence"
    summaries = json.loads(ask(caddy, "GET", "/api/studies")[1])["study_summaries"]
    assert len(summaries) == count
    own = {**kind, "Origin": caddy.url, "Sec_Fetch_Site": "same-origin"}
    assert ask(caddy, "POST", "/api/studies", NEW, **own)[0].status == 201
    (new,) = [
        study["study_id"]
        for study in json.loads(ask(caddy, "GET", "/api/studies")[1])["study_summaries"]
        if study["study_name"] == "new"
    ]
    assert ask(caddy, "DELETE", f"/api/studies/{new}", b"{}", **own)[0].status == 204


def test_foreign_host_names_are_refused(caddy, servers):
    for host in ("evil.example.org", "127.0.0.1", f"evil.example.org:{caddy.port}"):
        assert ask(caddy, "GET", "/api/studies", Host=host)[1] == b""
    assert servers.dashboard.ask("GET", "/api/studies")[0].status == 421


def test_large_requests_are_refused(caddy):
    headers = {"Origin": caddy.url, "Content_Type": "application/json"}
    assert ask(caddy, "POST", "/api/studies", bytes(2 << 20), **headers)[0].status in (413, 502)
    assert ask(caddy, "GET", "/", X_Long="x" * 100_000)[0].status == 431
    assert ask(caddy, "GET", "/api/studies")[0].status == 200


def test_slow_connections_are_closed_and_block_no_others(caddy):
    """Eight of each kind: without TLS, within its handshake, and within headers and a body."""
    head = f"Host: localhost:{caddy.port}\r\nX-Half: ".encode()
    body = (
        f"POST /api/studies HTTP/1.1\r\nHost: localhost:{caddy.port}\r\nOrigin: {caddy.url}\r\n"
        f"Authorization: {basic(NAME, PASSWORD)}\r\nContent-Length: 50\r\n\r\n{{"
    ).encode()
    in_http = [b"", b"GET /api/stu", b"GET /api/studies HTTP/1.1\r\n" + head]
    with (
        Waiting(lambda: connect(caddy), *([b"", b"\x16\x03\x01\x02\x00"] * 8)) as before_tls,
        Waiting(caddy.connect, *(in_http * 8)) as within_headers,
        Waiting(caddy.connect, *([body] * 8)),
    ):
        begun = monotonic()
        for _ in range(3):
            assert ask(caddy, "GET", "/api/studies")[0].status == 200
        assert monotonic() - begun < READ_HEADER_SECONDS, "they were still open"
        for said in before_tls.read_all() + within_headers.read_all():
            assert b"small/ecdsep" not in said
    assert monotonic() - begun > READ_HEADER_SECONDS - 1
    assert ask(caddy, "GET", "/api/studies")[0].status == 200


def connect(caddy: Caddy) -> socket.socket:
    return socket.create_connection(("localhost", caddy.port), timeout=HANG)


def test_no_access_without_users(tmp_path):
    users = tmp_path / "dashboard_users"
    users.write_text("# NAME HASH per line\n")
    with Caddy(tmp_path, users, free_port(), free_port()) as caddy:
        assert caddy.ask("GET", "/")[0].status == 401
        assert caddy.ask("GET", "/", Authorization=basic("", ""))[0].status == 401


def test_missing_users_file_prevents_start(tmp_path):
    with pytest.raises(AssertionError, match=r"File to import not found: .*/nowhere"):
        Caddy(tmp_path, tmp_path / "nowhere", free_port(), free_port()).__enter__()


def test_the_file_is_formatted_and_read_without_a_warning(tmp_path):
    users = tmp_path / "users"
    users.write_text("# none\n")
    command = [CADDY, "adapt", "--adapter", "caddyfile", "--config", ROOT / "storage/Caddyfile"]
    environment = {"ECD_TUNE_DASHBOARD_USERS": str(users), "HOME": str(tmp_path)}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=HANG
    )
    assert result.stderr == ""
    (server,) = json.loads(result.stdout)["apps"]["http"]["servers"].values()
    assert server["read_header_timeout"] == READ_HEADER_SECONDS * 1e9
    assert server["listen"] == [":8443"]


def test_login_in_a_browser(caddy, open_page, shoot):
    login = {"username": NAME, "password": PASSWORD}
    page = open_page(ignore_https_errors=True, http_credentials=login)
    page.goto(f"{caddy.url}/dashboard")
    page.get_by_text("small/ecdsep").first.click()
    page.get_by_text("Hyperparameter Importance").first.wait_for()
    page.wait_for_load_state("networkidle")
    shoot(page, "proxy")
    # The browser knows the password now, and sends it with the form of another site, too.
    form = (
        f'<form method="post" action="{caddy.url}/api/studies" enctype="text/plain">'
        "<input name='{\"study_name\": \"x' value='\"}'><button>Free prizes</button></form>"
    )
    page.route(
        "https://evil.example.org/",
        lambda route: route.fulfill(content_type="text/html", body=form),
    )
    page.goto("https://evil.example.org/")
    with page.expect_response(f"{caddy.url}/api/studies") as caught:
        page.get_by_role("button").click()
    assert caught.value.status == 403
    assert page.errors == []
