"""The command `ecd-tune dashboard` as a process, asked over the network and by a browser."""

from __future__ import annotations

import http.client
import io
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ecd_tune.cli.main import main
from ecd_tune.serve import hash_password
from ecd_tune.serve.passwords import PasswordHash
from ecd_tune.store import Store

HANG = 100.0
"""Seconds after which something hangs; everything here takes a few."""
PASSWORD = "correct horse battery"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
OPENSSL = shutil.which("openssl")


class Server:
    """A dashboard of the study on a port of its own."""

    def __init__(self, url: str, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ecd_tune", "dashboard", "--storage", url,
                 "--port", str(self.port), *options],
                stdout=log, stderr=log,
            )  # fmt: skip
        self.tls = "--tls-cert" in options

    def wait(self) -> None:
        deadline = time.monotonic() + HANG
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                self.ask("GET", "/login")
            except (ConnectionError, http.client.HTTPException):
                time.sleep(0.02)
            else:
                return
        raise AssertionError("the server does not answer")

    def ask(self, method, path, body=None, **headers):
        if self.tls:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, path, body, named)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return reply, content


@pytest.fixture
def serve(url, study, tmp_path):
    Store.open(url).close()  # our tables beside Optuna's
    started = []

    def start(*options: str) -> Server:
        server = Server(url, tmp_path, *options)
        started.append(server)
        server.wait()
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=HANG) == 0


@pytest.fixture
def auth(tmp_path):
    path = tmp_path / "auth.toml"
    path.touch(0o600)
    path.write_text(f'[[users]]\nname = "ada"\npassword_hash = "{hash_password(PASSWORD)}"\n')
    return str(path)


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ecd_tune", "dashboard", *arguments],
        input=stdin, capture_output=True, text=True, timeout=HANG, check=False,
    )  # fmt: skip


def test_on_loopback_it_serves_at_once(serve, study):
    server = serve()
    reply, content = server.ask("GET", "/api/studies")
    assert (reply.status, b"small/ecdsep" in content) == (200, True)
    reply, _ = server.ask("GET", "/api/studies", Host="rebound.example.org")
    assert reply.status == 421
    body = b'{"study_name": "x", "directions": ["minimize"]}'
    reply, _ = server.ask(
        "POST",
        "/api/studies",
        body,
        Origin="http://evil.example.org",
        Content_Type="application/json",
    )
    assert reply.status == 403
    assert b'"x"' not in server.ask("GET", "/api/studies")[1]
    # Ctrl-C ends it politely.
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=HANG) == 0
    assert "Traceback" not in server.log.read_text()


def test_on_all_addresses_it_asks_for_a_login_and_logs_no_password(serve, auth):
    server = serve("--host", "0.0.0.0", "--auth", auth)
    assert server.ask("GET", "/api/studies")[0].status == 401
    origin = f"http://127.0.0.1:{server.port}"
    for password, status in (("not this one", 401), (PASSWORD, 303)):
        form = urlencode({"name": "ada", "password": password})
        reply, _ = server.ask("POST", "/login", form, Origin=origin)
        assert reply.status == status
    cookie = reply.getheader("Set-Cookie").split(";")[0]
    assert server.ask("GET", "/api/studies", Cookie=cookie)[0].status == 200
    log = server.log.read_text()
    assert "travel unencrypted" in log
    assert PASSWORD not in log
    assert "not this one" not in log


@pytest.mark.skipif(OPENSSL is None, reason="no openssl on the PATH to make a certificate")
def test_it_speaks_https(serve, auth, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=localhost", "-days", "1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server = serve("--auth", auth, "--tls-cert", str(certificate), "--tls-key", str(key))
    form = urlencode({"name": "ada", "password": PASSWORD})
    reply, _ = server.ask("POST", "/login", form, Origin=f"https://127.0.0.1:{server.port}")
    assert reply.status == 303
    assert "; Secure" in reply.getheader("Set-Cookie")
    assert "unencrypted" not in server.log.read_text()


@pytest.fixture
def refuse(monkeypatch, capsys):
    """What the command says before it leaves with status 2; in this process, which is sooner."""

    def refuse(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ecd-tune", "dashboard", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 2
        return capsys.readouterr().err

    return refuse


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "--auth FILE"),
        (("--tls-cert", "x.pem"), "belong together"),
        (("--auth", "/nowhere/auth.toml"), "cannot be read"),
        (("--storage", "sqlite:////nowhere/study.db"), "/nowhere"),
    ],
)
def test_what_cannot_be_served_is_one_message(arguments, message, refuse):
    assert message in refuse(*arguments)


def test_a_port_in_use_is_one_message(url, study, refuse):
    Store.open(url).close()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refuse("--storage", url, "--port", str(port))
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in said


def test_a_password_from_a_pipe_is_hashed_and_not_shown():
    result = run("--hash-password", stdin=f"{PASSWORD}\n")
    key, _, text = result.stdout.strip().partition(" = ")
    assert (result.returncode, key) == (0, "password_hash")
    assert PasswordHash.parse(text.strip('"')).matches(PASSWORD)
    assert PASSWORD not in result.stdout + result.stderr


def test_too_short_a_password_is_refused(monkeypatch, refuse):
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    assert "password" in refuse("--hash-password")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """A page in a context of its own, with no cookie of another test's."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(100_000)
    yield page
    context.close()


def shoot(page, name: str) -> None:
    """Keep a picture where somebody wants to look at it."""
    folder = os.environ.get("ECD_TUNE_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png")


def test_a_person_logs_in_looks_and_logs_out(serve, auth, page):
    server = serve("--auth", auth)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    home = f"http://127.0.0.1:{server.port}"
    page.goto(f"{home}/dashboard")
    assert page.url == f"{home}/login?next=/dashboard"
    shoot(page, "login")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("not this one")
    page.get_by_role("button", name="Log in").click()
    assert page.get_by_role("alert").inner_text() == "Name or password is wrong."
    shoot(page, "refused")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{home}/dashboard")
    page.get_by_text("small/ecdsep").first.click()
    page.wait_for_url(f"{home}/dashboard/studies/1")
    page.get_by_text("Hyperparameter Importance").first.wait_for()
    page.wait_for_load_state("networkidle")
    shoot(page, "study")
    # The cookie is out of reach of scripts.
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{home}/login")
    page.goto(f"{home}/dashboard/studies/1")
    assert page.url == f"{home}/login?next=/dashboard/studies/1"
    assert errors == []


def test_a_page_of_another_site_cannot_write(serve, auth, page):
    server = serve("--auth", auth)
    home = f"http://127.0.0.1:{server.port}"
    # What a browser sends across sites without asking first: here, to log a visitor in as the
    # attacker, who would then see what the visitor does.
    form = (
        f'<form method="post" action="{home}/login"><input name="name" value="ada">'
        f'<input name="password" value="{PASSWORD}"><button>Free prizes</button></form>'
    )
    page.route(
        "http://evil.example.org/",
        lambda route: route.fulfill(content_type="text/html", body=form),
    )
    page.goto("http://evil.example.org/")
    with page.expect_response(f"{home}/login") as caught:
        page.get_by_role("button").click()
    assert caught.value.status == 403
    assert page.context.cookies() == []


def test_a_page_of_its_own_can_write(serve, page):
    server = serve()
    page.goto(f"http://127.0.0.1:{server.port}/dashboard")
    status = page.evaluate(
        """async () => (await fetch("/api/studies", {
            method: "POST", headers: {"Content-Type": "application/json"},
            body: '{"study_name": "wanted", "directions": ["minimize"]}'})).status"""
    )
    assert status == 201


def test_other_commands_do_not_load_the_server():
    code = (
        "import sys, ecd_tune.cli.main; "
        "print({'gunicorn', 'optuna_dashboard', 'optuna', 'torch'} & sys.modules.keys())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
