"""``ecd-tune dashboard``: Optuna's dashboard on a study database."""

from __future__ import annotations

from typing import Annotated

import typer

from ecd_tune.cli.options import DEFAULT_STORAGE, Storage
from ecd_tune.errors import StorageUrlError

__all__ = ["dashboard"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def dashboard(
    storage: Storage = DEFAULT_STORAGE,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
) -> None:
    """Open the Optuna dashboard on the database, on this machine only."""
    if host not in _LOOPBACK:
        raise StorageUrlError(
            f"--host {host}: the dashboard has no login, and whoever reaches it can delete "
            f"studies; allowed: {', '.join(_LOOPBACK)}. From another machine use a tunnel: "
            f"ssh -L {port}:127.0.0.1:{port} THIS-HOST"
        )
    from optuna_dashboard import run_server

    from ecd_tune.store import Store

    with Store.open(storage, create=False) as store:
        typer.echo(f"Dashboard of {store.url}: http://{host}:{port}/ (Ctrl-C ends it)")
        run_server(store.optuna_storage(), host=host, port=port)
