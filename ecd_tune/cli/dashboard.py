"""``ecd-tune dashboard``: Optuna's dashboard on a study database."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from ecd_tune.cli.options import DEFAULT_STORAGE, Storage
from ecd_tune.errors import DashboardError

__all__ = ["dashboard"]


def dashboard(
    storage: Storage = DEFAULT_STORAGE,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback needs --auth.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    auth: Annotated[
        Path | None,
        typer.Option(
            envvar="ECD_TUNE_DASHBOARD_AUTH",
            metavar="FILE",
            help="Users and tokens (TOML, mode 600); asks everybody to log in.",
            show_default=False,
        ),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Refuse everything that would change a study.")
    ] = False,
    public_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="What users type, where a proxy stands before, e.g. https://tune.example.org.",
            show_default=False,
        ),
    ] = "",
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Speak https with this certificate.", show_default=False),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The certificate's private key.", show_default=False),
    ] = None,
    hash_password: Annotated[
        bool,
        typer.Option(
            "--hash-password", help="Ask for a password, print its line for --auth, and leave."
        ),
    ] = False,
) -> None:
    """Open the Optuna dashboard on the database."""
    if hash_password:
        _print_hash()
        return
    if (tls_cert is None) != (tls_key is None):
        raise DashboardError("--tls-cert and --tls-key belong together: give both or neither")
    from ecd_tune.serve import Settings, load_access, serve
    from ecd_tune.store import Store

    access = None if auth is None else load_access(auth)
    settings = Settings(host, port, access, read_only, public_url, tls=tls_cert is not None)
    with Store.open(storage, create=False) as store:
        shown = store.url
    url = public_url or f"http{'s' if settings.tls else ''}://{host}:{port}/"
    typer.echo(f"Dashboard of {shown}: {url} (Ctrl-C ends it)")
    if access is not None and not settings.secure:
        typer.echo(
            "Passwords travel unencrypted; give --tls-cert and --tls-key, or put a proxy that "
            "speaks https before it and give --public-url.",
            err=True,
        )
    serve(storage, settings, tls_cert, tls_key)


def _print_hash() -> None:
    """Read a password without echo, or the first line of a pipe; print the line for the file."""
    from ecd_tune.serve.passwords import hash_password

    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise DashboardError("the two passwords differ; run the command again")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    typer.echo(f'password_hash = "{hash_password(password)}"')
