"""Let nobody through who is not logged in."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote

from ecd_tune.serve._wsgi import App, Environ, StartResponse, answer, refuse
from ecd_tune.serve.access import Access
from ecd_tune.serve.pages import LOGIN_POLICY, login_page
from ecd_tune.serve.sessions import Sessions, Throttle

__all__ = ["USER", "Login"]

USER = "ecd_tune.user"
_HOME = "/dashboard"
_LONGEST_FORM = 4096
_POLICY = ("Content-Security-Policy", LOGIN_POLICY)
_WRONG = "Name or password is wrong."


class Login:
    """Answer ``/login`` and ``/logout``; everything else needs a session or a token.

    Args:
        app: The layer below; sees who it is under :data:`USER` in the request.
        access: Who may enter.
        secure: Whether users come by https, so that the cookie must never travel without.
        sessions: Injected by tests.
        throttle: Injected by tests.
    """

    def __init__(
        self,
        app: App,
        access: Access,
        secure: bool = False,
        sessions: Sessions | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self._app, self._access = app, access
        self._sessions, self._throttle = sessions or Sessions(), throttle or Throttle()
        # The prefix makes browsers refuse the cookie from a sibling domain or without https.
        self._cookie = "__Host-ecd_tune" if secure else "ecd_tune"
        self._attributes = "; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD")
        if path == "/login" and method == "POST":
            return self._log_in(environ, start_response)
        if path == "/login" and method in ("GET", "HEAD"):
            target = parse_qs(environ.get("QUERY_STRING", "")).get("next", [_HOME])[0]
            return _show_form(environ, start_response, HTTPStatus.OK, target)
        user = self._identify(environ)
        if user is None:
            return self._ask_to_log_in(environ, start_response)
        if path == "/logout" and method == "POST":
            return self._log_out(environ, start_response)
        environ[USER] = user
        return self._app(environ, start_response)

    def _identify(self, environ: Environ) -> str | None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme:
            # Whoever sends a token is judged by it alone: the guard lets its writes through
            # without evidence of their origin, which a cookie must never profit from.
            return self._access.find_token(token.strip()) if scheme == "Bearer" else None
        key = self._read_key(environ)
        return self._sessions.find(key) if key else None

    def _ask_to_log_in(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        wants_page = "text/html" in environ.get("HTTP_ACCEPT", "")
        if wants_page and environ["REQUEST_METHOD"] == "GET":
            path = environ.get("PATH_INFO", "").encode("latin-1")
            where = "" if path in (b"", b"/") else f"?next={quote(path)}"
            headers = [("Location", f"/login{where}")]
            return answer(environ, start_response, HTTPStatus.SEE_OTHER, headers=headers)
        reason = "log in at /login, or send `Authorization: Bearer TOKEN`"
        headers = [("WWW-Authenticate", 'Bearer realm="ecd_tune"')]
        return refuse(environ, start_response, HTTPStatus.UNAUTHORIZED, reason, headers=headers)

    def _log_in(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        form = _read_form(environ)
        if form is None:
            reason = f"a login is a form of at most {_LONGEST_FORM} bytes"
            return refuse(environ, start_response, HTTPStatus.BAD_REQUEST, reason)
        target = form.get("next", _HOME)
        address = environ.get("REMOTE_ADDR", "")
        wait = self._throttle.admit(address)
        if wait > 0:
            seconds = int(wait) + 1
            message = f"Too many failed logins; try again in {seconds} s."
            headers = [("Retry-After", str(seconds))]
            return _show_form(
                environ, start_response, HTTPStatus.TOO_MANY_REQUESTS, target, message, headers
            )
        name = form.get("name", "")
        if not self._access.check_password(name, form.get("password", "")):
            return _show_form(environ, start_response, HTTPStatus.UNAUTHORIZED, target, _WRONG)
        self._throttle.forget(address)
        self._end_session(environ)
        key = self._sessions.start(name)
        cookie = f"{self._cookie}={key}; Max-Age={int(self._sessions.seconds)}{self._attributes}"
        return _go(environ, start_response, _local(target), cookie)

    def _log_out(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self._end_session(environ)
        return _go(
            environ, start_response, "/login", f"{self._cookie}=; Max-Age=0{self._attributes}"
        )

    def _end_session(self, environ: Environ) -> None:
        key = self._read_key(environ)
        if key:
            self._sessions.end(key)

    def _read_key(self, environ: Environ) -> str | None:
        try:
            cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(self._cookie)
        except CookieError:
            return None
        return cookie.value if cookie else None


def _go(
    environ: Environ, start_response: StartResponse, target: str, cookie: str
) -> Iterable[bytes]:
    headers = [("Location", target), ("Set-Cookie", cookie)]
    return answer(environ, start_response, HTTPStatus.SEE_OTHER, headers=headers)


def _show_form(
    environ: Environ,
    start_response: StartResponse,
    status: HTTPStatus,
    target: str,
    message: str = "",
    headers: Iterable[tuple[str, str]] = (),
) -> Iterable[bytes]:
    page = login_page(_local(target), message)
    return answer(environ, start_response, status, page, headers=[_POLICY, *headers])


def _local(target: str) -> str:
    """Return a path of this server; anything that could lead elsewhere becomes the start."""
    plain = target.isascii() and target.isprintable() and "\\" not in target
    if plain and target.startswith("/") and not target.startswith("//"):
        return quote(target, safe="/?&=%:@,;+~-._")
    return _HOME


def _read_form(environ: Environ) -> dict[str, str] | None:
    try:
        length = int(environ.get("CONTENT_LENGTH") or "-1")
    except ValueError:
        return None
    if not 0 <= length <= _LONGEST_FORM:
        return None
    raw: bytes = environ["wsgi.input"].read(length)
    try:
        fields = parse_qs(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return None
    return {key: values[0] for key, values in fields.items()}
