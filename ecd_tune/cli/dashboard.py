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
        str,
        typer.Option(
            help="Address to listen on; addresses other than loopback need --behind-proxy."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    read_only: Annotated[
        bool,
        typer.Option("--read-only/--writable", help="Reject or allow changes to studies."),
    ] = True,
    reports: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the reports that /fleet links to.")
    ] = Path("reports"),
    behind_proxy: Annotated[
        str,
        typer.Option(
            metavar="https://HOST",
            help="URL of a proxy with authentication that is the only client of this server; "
            "other host names are rejected.",
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
    typer.echo(f"Dashboard of {shown}: {settings.url}/ (stop with Ctrl-C)")
    typer.echo(f"Studies and workers: {settings.url}/fleet")
    if not is_loopback(settings.host):
        typer.echo(
            f"{settings.host} port {port} has no login: only the proxy may have access.",
            err=True,
        )
    server.serve(storage, say_ending)
