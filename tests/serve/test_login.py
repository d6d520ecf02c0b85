"""Nobody comes in without a session or a token, whatever the route."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlencode

import optuna_dashboard
import pytest

from ecd_tune.errors import DashboardError
from ecd_tune.serve import Access, Settings, build_app, hash_password
from ecd_tune.serve.login import USER, Login
from ecd_tune.serve.sessions import Sessions, Throttle
from tests.serve.client import Client

PASSWORD = "correct horse battery"
TOKEN = "a-long-random-token"
ORIGIN = "http://127.0.0.1:8080"
HASH = hash_password(PASSWORD)
ACCESS = Access({"ada": HASH}, {"monitor": hashlib.sha256(TOKEN.encode()).hexdigest()}, HASH)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tell_user(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ[USER].encode()]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def client(clock):
    return Client(Login(tell_user, ACCESS, False, Sessions(clock), Throttle(clock)))


def log_in(client, password=PASSWORD, target=None, name="ada", **headers):
    fields = {"name": name, "password": password} | ({} if target is None else {"next": target})
    return client("POST", "/login", urlencode(fields).encode(), **headers)


def cookie_of(reply):
    return reply.headers["set-cookie"].split(";")[0]


def test_the_right_password_opens_a_session(client):
    reply = log_in(client)
    assert (reply.status, reply.headers["location"]) == (303, "/dashboard")
    attributes = set(reply.headers["set-cookie"].split("; ")[1:])
    assert attributes == {"Max-Age=43200", "Path=/", "HttpOnly", "SameSite=Strict"}
    assert client("GET", "/api/studies", cookie=cookie_of(reply)).body == b"ada"


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "not this one"), ("ada", ""), ("bob", PASSWORD), ("", ""), ("monitor", TOKEN)],
)
def test_a_wrong_one_does_not_and_is_not_repeated(client, name, password):
    reply = log_in(client, password, name=name)
    assert reply.status == 401
    assert "set-cookie" not in reply.headers
    assert b"Name or password is wrong." in reply.body
    assert not password or password.encode() not in reply.body


def test_a_session_ends_at_logout_and_after_its_time(client, clock):
    first, second = cookie_of(log_in(client)), cookie_of(log_in(client))
    reply = client("POST", "/logout", cookie=first)
    assert (reply.status, reply.headers["location"]) == (303, "/login")
    assert "Max-Age=0" in reply.headers["set-cookie"]
    assert client("GET", "/x", cookie=first).status == 401
    assert client("GET", "/x", cookie=second).status == 200
    clock.now += 12 * 3600
    assert client("GET", "/x", cookie=second).status == 401


def test_a_login_replaces_the_session_that_was_there(client):
    old = cookie_of(log_in(client))
    new = cookie_of(log_in(client, cookie=old))
    assert old != new
    assert client("GET", "/x", cookie=old).status == 401
    assert client("GET", "/x", cookie=new).status == 200


def test_a_session_key_that_somebody_chose_is_never_taken_over(client):
    planted = "ecd_tune=chosen-by-somebody-else"
    assert cookie_of(log_in(client, cookie=planted)) != planted
    assert client("GET", "/x", cookie=planted).status == 401


@pytest.mark.parametrize("cookie", ["ecd_tune=", "ecd_tune=x", "a=b; ecd_tune", "=;=;", '"'])
def test_other_cookies_open_nothing(client, cookie):
    assert client("GET", "/x", cookie=cookie).status == 401


def test_a_token_is_enough_and_a_wrong_one_is_not_helped_by_a_session(client):
    session = cookie_of(log_in(client))
    assert client("POST", "/x", authorization=f"Bearer {TOKEN}").body == b"monitor"
    for header in ("Bearer ", "Bearer wrong", f"Basic {TOKEN}", f"bearer {TOKEN}", TOKEN):
        assert client("POST", "/x", authorization=header, cookie=session).status == 401


def test_failures_slow_down_one_address_only(client, clock):
    for _ in range(5):
        assert log_in(client, "wrong").status == 401
    reply = log_in(client)
    assert reply.status == 429, "even the right password has to wait"
    assert int(reply.headers["retry-after"]) == 2
    client.address = "192.0.2.8"
    assert log_in(client).status == 303
    client.address = "192.0.2.7"
    clock.now += 1.0
    assert log_in(client).status == 303
    assert log_in(client, "wrong").status == 401


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/dashboard/studies/3", "/dashboard/studies/3"),
        ("/csv/1?trial_ids=1,2", "/csv/1?trial_ids=1,2"),
        ("//evil.example.org", "/dashboard"),
        ("/\\evil.example.org", "/dashboard"),
        ("https://evil.example.org", "/dashboard"),
        ("javascript:alert(1)", "/dashboard"),
        ("/x\r\nSet-Cookie: a=b", "/dashboard"),
        ("/é", "/dashboard"),
        ("", "/dashboard"),
    ],
)
def test_a_login_leads_to_this_server_only(client, target, location):
    assert log_in(client, target=target).headers["location"] == location


def test_the_form_escapes_what_it_was_given(client):
    reply = client("GET", "/login?next=/%22%3E%3Cscript%3E")
    assert b"<script" not in reply.body
    assert b'value="/%22%3E%3Cscript%3E"' in reply.body
    assert "script-src" not in reply.headers["content-security-policy"]
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "headers", [{"content_length": "5000"}, {"content_length": "-1"}, {"content_length": "x"}]
)
def test_a_form_of_another_size_is_refused(client, headers):
    app = client.app

    def change(environ, start_response):
        environ["CONTENT_LENGTH"] = headers["content_length"]
        return app(environ, start_response)

    client.app = change
    assert log_in(client).status == 400


def test_many_fields_and_broken_text_are_refused(client):
    assert client("POST", "/login", b"a=b&" * 50).status == 400
    assert client("POST", "/login", b"name=ada&password=\xff\xfe").status == 400


def test_under_https_the_cookie_never_travels_without():
    client = Client(Login(tell_user, ACCESS, secure=True))
    header = log_in(client).headers["set-cookie"]
    assert header.startswith("__Host-ecd_tune=")
    assert header.endswith("; Secure")


# The whole application.


@pytest.fixture
def whole(url, study, open_storage):
    settings = Settings("0.0.0.0", 8080, ACCESS)
    return Client(build_app(open_storage(url), settings), host="tune.example.org:8080")


def list_routes(storage):
    """Return every method and path of the dashboard, with a number or a word for each variable."""
    for route in optuna_dashboard.wsgi(storage).routes:
        path = re.sub(r"<[^>]*int>", "1", route.rule)
        path = re.sub(r"<:re:\(/\.\*\)\?>", "/studies/1", path)
        yield route.method, re.sub(r"<[^>]*>", "x", path)


def test_no_route_of_the_dashboard_answers_without_a_login(whole, url, study, open_storage):
    routes = list(list_routes(open_storage(url)))
    assert len(routes) > 25
    assert ("DELETE", "/api/studies/1") in routes
    paths = [*routes, ("GET", "/nothing"), ("POST", "/logout"), ("GET", "/login/"),
             ("GET", "//login"), ("GET", "/login/../api/studies"), ("PUT", "/login"),
             ("GET", "/LOGIN"), ("GET", "/static/../login"), ("GET", "")]  # fmt: skip
    for method, path in paths:
        for accept in ("*/*", "text/html"):
            reply = whole(method, path, b"{}", accept=accept, origin="http://tune.example.org:8080")
            assert reply.status in (401, 303), (method, path)
            if reply.status == 303:
                assert reply.headers["location"].startswith("/login")
            assert b"small/ecdsep" not in reply.body
    assert len(study.trials) == 3


def test_behind_the_login_the_dashboard_is_all_there(whole):
    cookie = cookie_of(log_in(whole, origin="http://tune.example.org:8080"))
    assert whole("GET", "/api/studies/1", cookie=cookie).json["name"] == "small/ecdsep"
    page = whole("GET", "/dashboard", cookie=cookie)
    assert b'action="/logout"' in page.body
    assert b">ada<" in page.body
    assert int(page.headers["content-length"]) == len(page.body)
    bundle = whole("GET", "/static/bundle.js", cookie=cookie, accept_encoding="gzip")
    assert bundle.headers["content-encoding"] == "gzip"


def test_a_foreign_page_cannot_log_in_nor_write_with_the_session(whole, study):
    assert log_in(whole, origin="http://evil.example.org").status == 403
    cookie = cookie_of(log_in(whole, origin="http://tune.example.org:8080"))
    target = f"/api/studies/{study._study_id}"
    assert (
        whole("DELETE", target, b"{}", cookie=cookie, origin="http://evil.example.org").status
        == 403
    )
    assert whole("DELETE", target, b"{}", cookie=cookie).status == 403
    assert len(study.trials) == 3


def test_a_token_writes_and_read_only_forbids_it(url, study, open_storage):
    body = b'{"study_name": "new", "directions": ["minimize"]}'
    headers = {"authorization": f"Bearer {TOKEN}", "content_type": "application/json"}
    storage = open_storage(url)
    client = Client(build_app(storage, Settings("0.0.0.0", 8080, ACCESS, read_only=True)))
    reply = client("POST", "/api/studies", body, **headers)
    assert (reply.status, len(storage.get_all_studies())) == (403, 1)
    assert "read-only" in reply.json["reason"]
    assert b"read-only" in client("GET", "/dashboard", **headers).body
    assert log_in(client, origin=ORIGIN).status == 303, "a login is no write"
    client = Client(build_app(storage, Settings("0.0.0.0", 8080, ACCESS)))
    assert client("POST", "/api/studies", body, **headers).status == 201
    assert len(storage.get_all_studies()) == 2


def test_on_loopback_without_a_login_foreign_writes_are_refused_too(url, study, open_storage):
    body = b'{"study_name": "new", "directions": ["minimize"]}'
    storage = open_storage(url)
    client = Client(build_app(storage, Settings()))
    json_type = {"content_type": "application/json"}
    for origin in (None, "null", "http://evil.example.org"):
        reply = client("POST", "/api/studies", body, origin=origin, **json_type)
        assert reply.status == 403
    client.host = "evil.example.org"
    assert client("GET", "/api/studies").status == 421
    client.host = "127.0.0.1:8080"
    assert len(storage.get_all_studies()) == 1
    assert client("POST", "/api/studies", body, origin=ORIGIN, **json_type).status == 201
    assert b"ecd-tune-bar" not in client("GET", "/dashboard").body


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": "192.168.1.5"},
        {"host": "tune.example.org"},
        {"public_url": "https://tune.example.org"},
    ],
)
def test_nobody_serves_others_without_a_login(settings):
    with pytest.raises(DashboardError, match="--auth FILE"):
        Settings(**settings)
    assert Settings(**settings, access=ACCESS)


@pytest.mark.parametrize("url", ["tune.example.org", "ftp://x", "https://", "https://x/y"])
def test_a_public_url_is_an_origin(url):
    with pytest.raises(DashboardError, match="--public-url"):
        Settings(access=ACCESS, public_url=url)


def test_the_cookie_is_secure_exactly_where_users_come_by_https():
    assert Settings(access=ACCESS, public_url="https://x").secure
    assert Settings(access=ACCESS, tls=True).secure
    assert not Settings(access=ACCESS, public_url="http://x").secure
