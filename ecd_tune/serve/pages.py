"""The two pieces of HTML that are ours: the login page, and the bar under the dashboard."""

from __future__ import annotations

import base64
import hashlib
from html import escape

__all__ = ["LOGIN_POLICY", "bar", "login_page"]

_STYLE = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { min-height: 100vh; margin: 0; display: grid; place-items: center; }
form { width: 18rem; display: grid; gap: .75rem; }
h1 { font-size: 1.25rem; margin: 0; }
label { display: grid; gap: .25rem; }
input, button { font: inherit; padding: .5rem; }
p { margin: 0; color: #b00020; }
@media (prefers-color-scheme: dark) { p { color: #ff8a80; } }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

LOGIN_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


def login_page(target: str, message: str = "") -> bytes:
    """Write the login page.

    Args:
        target: Path to go to afterwards.
        message: What was wrong with the last try.

    Returns:
        The page, UTF-8.
    """
    alert = f'<p role="alert">{escape(message)}</p>' if message else ""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Log in: ecd_tune dashboard</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{_STYLE}</style></head>
<body><form method="post" action="/login">
<h1>ecd_tune dashboard</h1>{alert}
<input type="hidden" name="next" value="{escape(target)}">
<label>Name <input name="name" autocomplete="username" required autofocus></label>
<label>Password
<input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button>
</form></body></html>
""".encode()


def bar(user: str | None, read_only: bool) -> bytes:
    """Write the bar that stands at the foot of the dashboard.

    Args:
        user: Who is logged in, or None where there is no login.
        read_only: Whether nothing can be changed.

    Returns:
        A piece of HTML, UTF-8; empty when there is nothing to say.
    """
    parts = ["<span>read-only</span>"] if read_only else []
    if user is not None:
        parts += [
            f"<span>{escape(user)}</span>",
            '<form method="post" action="/logout" style="margin:0">'
            '<button style="font:inherit">Log out</button></form>',
        ]
    if not parts:
        return b""
    style = (
        "position:fixed;right:0;bottom:0;z-index:2000;display:flex;gap:.75rem;"
        "align-items:center;padding:.25rem .75rem;font:13px system-ui,sans-serif;"
        "background:#064787;color:#fff;border-top-left-radius:6px"
    )
    return f'<div id="ecd-tune-bar" style="{style}">{"".join(parts)}</div>'.encode()
