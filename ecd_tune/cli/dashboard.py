"""``ecd-tune dashboard``: Optuna's dashboard on a study database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecd_tune.cli.options import DEFAULT_STORAGE, Storage
from ecd_tune.cli.stopping import say_ending

__all__ = ["dashboard"]


def dashboard(
    storage: Storage = DEFAULT_STORAGE,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback needs --behind-proxy.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    read_only: Annotated[
        bool,
        typer.Option("--read-only/--writable", help="Refuse, or allow, what would change a study."),
    ] = True,
    reports: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of reports that the page links to.")
    ] = Path("reports"),
    behind_proxy: Annotated[
        str,
        typer.Option(
            metavar="https://HOST",
            help="What users type to reach a proxy that asks them for a password and alone can "
            "reach this server; no other name is answered.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Open Optuna's dashboard, and a page of studies and workers, on this machine's loopback.

    There is no login, and nothing can be changed unless `--writable` is given.

    From elsewhere use a tunnel, `ssh -L 8080:127.0.0.1:8080 HOST`; for several people a proxy.
    """
    from ecd_tune.serve import DashboardServer, Settings
    from ecd_tune.serve.guard import is_loopback
    from ecd_tune.store import Store

    settings = Settings(host, port, read_only, behind_proxy, reports)
    with Store.open(storage, create=False) as store:
        shown = store.url
    server = DashboardServer(settings)
    typer.echo(f"Dashboard of {shown}: {settings.url}/ (Ctrl-C ends it)")
    typer.echo(f"Studies and workers: {settings.url}/fleet")
    if not is_loopback(settings.host):
        typer.echo(
            f"{settings.host} port {port} has no login: let only the proxy reach it.", err=True
        )
    server.serve(storage, say_ending)
