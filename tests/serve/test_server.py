"""The command `ecd-tune dashboard` as a process, over the network and in a browser."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from time import monotonic

import pytest

from ecd_tune.cli.main import main
from ecd_tune.serve import DashboardServer, Settings
from ecd_tune.serve.server import _RequestHandler
from ecd_tune.store import Store
from tests.serve.processes import HANG, Dashboard, Waiting

NEW = b'{"study_name": "x", "directions": ["minimize"]}'
SLOW = (
    b"",
    b"G",
    b"GET /api/studies HTTP/1.1\r\n",
    b"GET /api/studies HTTP/1.1\r\nHost: localhost\r\nX-Half: ",
    b"POST /api/studies HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
)


@pytest.fixture(scope="module")
def server(shared_url, tmp_path_factory):
    with Dashboard(shared_url, tmp_path_factory.mktemp("server"), "--writable") as server:
        yield server


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=HANG)


def ask_raw(port: int, request: bytes) -> bytes:
    with connect(port) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_serves_on_loopback(server):
    reply, content = server.ask("GET", "/api/studies")
    assert (reply.status, b"small/ecdsep" in content) == (200, True)
    assert len(json.loads(server.ask("GET", "/api/studies/1")[1])["trials"]) == 20
    reply, _ = server.ask("GET", "/api/studies", Host="rebound.example.org")
    assert reply.status == 421
    foreign = {"Origin": "http://evil.example.org", "Content_Type": "application/json"}
    assert server.ask("POST", "/api/studies", NEW, **foreign)[0].status == 403
    assert b'"x"' not in server.ask("GET", "/api/studies")[1]
    assert "no login" not in server.log.read_text()


@pytest.mark.parametrize(
    ("request_line", "hosts", "status"),
    [
        (b"GET /api/studies HTTP/1.1", [b"localhost"], b"200"),
        (b"GET /api/studies HTTP/1.1", [], b"421"),
        (b"GET /api/studies HTTP/1.1", [b"localhost", b"evil.example.org"], b"421"),
        (b"GET http://evil.example.org/api/studies HTTP/1.1", [b"evil.example.org"], b"421"),
        (b"GET /api/studies HTTP/3.7", [b"localhost"], b"505"),
        (b"GET /" + 70_000 * b"x" + b" HTTP/1.1", [b"localhost"], b"414"),
        (b"\xff\xfe", [b"localhost"], b"400"),
    ],
)
def test_odd_requests_are_answered(server, request_line, hosts, status):
    headers = b"".join(b"Host: " + host + b"\r\n" for host in hosts)
    answer = ask_raw(server.port, request_line + b"\r\n" + headers + b"\r\n")
    assert status in answer[:500]
    assert b"small/ecdsep" not in answer or status == b"200"


def test_slow_connections_block_no_others(server):
    with Waiting(lambda: connect(server.port), *(SLOW * 8)):
        begun = monotonic()
        for _ in range(3):
            assert server.ask("GET", "/api/studies")[0].status == 200
        assert monotonic() - begun < _RequestHandler.timeout, "they were still open"
    assert server.process.poll() is None


def test_slow_connections_are_closed_without_a_traceback(shared_url, monkeypatch, capfd):
    monkeypatch.setattr(_RequestHandler, "timeout", 0.3)
    monkeypatch.setattr("ecd_tune.serve.server.StopFlag", InThread)
    server = DashboardServer(Settings(port=0))
    port = server.socket.getsockname()[1]
    thread = threading.Thread(target=server.serve, args=(shared_url,))
    thread.start()
    try:
        with Waiting(lambda: connect(port), *SLOW[:4]) as waiting:
            assert waiting.read_all() == [b""] * 4
    finally:
        InThread.stopped.set()
        thread.join(HANG)
    assert not thread.is_alive()
    assert "Traceback" not in capfd.readouterr().err


class InThread:
    """In place of signals, which only a main thread may handle."""

    stopped = threading.Event()

    def __init__(self, say):
        pass

    def __enter__(self):
        return self.stopped.is_set

    def __exit__(self, *error):
        pass


def test_response_can_take_longer_than_the_idle_timeout(monkeypatch):
    monkeypatch.setattr(_RequestHandler, "timeout", 3.0)
    body = bytes(8 << 20)

    def send_large(environ, start_response):
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    with DashboardServer(Settings(port=0)) as server, socket.socket() as reader:
        server.set_app(send_large)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        reader.settimeout(HANG)
        reader.connect(server.socket.getsockname())
        reader.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.handle_request()
        size = 0
        while piece := reader.recv(1 << 16):
            size += len(piece)
            threading.Event().wait(0.03)  # 128 pieces: longer than the timeout
    assert size > len(body)


def test_serves_on_ipv6_and_stops_on_a_signal(shared_url, tmp_path):
    with Dashboard(shared_url, tmp_path, "--host", "::1") as server:
        reply, _ = server.ask("GET", "/api/studies", Host=f"[::1]:{server.port}")
        assert reply.status == 200
        # The others are ended by SIGTERM, with the same status.
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=HANG) == 0
    log = server.log.read_text()
    assert f"http://[::1]:{server.port}/" in log
    assert "Traceback" not in log


def test_accepts_one_host_behind_a_proxy(shared_url, tmp_path):
    options = ("--host", "0.0.0.0", "--behind-proxy", "https://Tune.example.org", "--read-only")
    with Dashboard(shared_url, tmp_path, *options) as server:
        for host, status in (
            ("tune.example.org", 200),
            ("TUNE.example.org:443", 200),
            ("tune.example.org:8443", 421),
            (f"127.0.0.1:{server.port}", 421),
            ("localhost", 421),
        ):
            assert server.ask("GET", "/api/studies", Host=host)[0].status == status, host
    log = server.log.read_text()
    assert "https://tune.example.org/ " in log
    assert f"0.0.0.0 port {server.port} has no login: only the proxy may have access." in log


@pytest.fixture
def refuse(monkeypatch, capsys):
    """What the command says before it leaves with status 2; in this process, which is sooner."""

    def refuse(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ecd-tune", "dashboard", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 2
        captured = capsys.readouterr()
        assert "Dashboard of" not in captured.out
        return captured.err

    return refuse


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "--behind-proxy https://HOST"),
        (("--host", "0.0.0.0", "--behind-proxy", ""), "--behind-proxy https://HOST"),
        (("--behind-proxy", "http://tune.example.org"), "unencrypted"),
        (("--behind-proxy", "tune.example.org"), "https://HOST:PORT"),
        (("--storage", "sqlite:////nowhere/study.db"), "/nowhere"),
    ],
)
def test_unavailable_port_is_one_message(arguments, message, refuse):
    assert message in refuse(*arguments)


def test_foreign_address_is_one_message(url, refuse):
    Store.open(url).close()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refuse("--storage", url, "--port", str(port))
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in said
    elsewhere = ("--host", "192.0.2.7", "--behind-proxy", "https://tune.example.org")
    assert "cannot listen on 192.0.2.7 port 8080" in refuse("--storage", url, *elsewhere)


def test_a_page_of_another_site_cannot_write(server, open_page):
    home = f"http://127.0.0.1:{server.port}"
    # What a browser sends across sites without asking first.
    form = (
        f'<form method="post" action="{home}/api/studies" enctype="text/plain">'
        "<input name='{\"study_name\": \"x' value='\"}'><button>Free prizes</button></form>"
    )
    page = open_page()
    page.route(
        "http://evil.example.org/",
        lambda route: route.fulfill(content_type="text/html", body=form),
    )
    page.goto("http://evil.example.org/")
    with page.expect_response(f"{home}/api/studies") as caught:
        page.get_by_role("button").click()
    assert caught.value.status == 403


def test_a_page_of_its_own_can_write(server, open_page, shoot):
    page = open_page()
    page.goto(f"http://127.0.0.1:{server.port}/dashboard")
    page.get_by_text("small/ecdsep").first.click()
    page.get_by_text("Hyperparameter Importance").first.wait_for()
    page.wait_for_load_state("networkidle")
    shoot(page, "loopback")
    status = page.evaluate(
        """async () => (await fetch("/api/studies", {
            method: "POST", headers: {"Content-Type": "application/json"},
            body: '{"study_name": "wanted", "directions": ["minimize"]}'})).status"""
    )
    assert status == 201
    assert page.errors == []


def test_other_commands_do_not_load_the_server():
    code = (
        "import sys, ecd_tune.cli.main; "
        "print({'wsgiref', 'optuna_dashboard', 'optuna', 'torch'} & sys.modules.keys())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
