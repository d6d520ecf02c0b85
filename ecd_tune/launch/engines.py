"""Make the launcher of an engine by its name."""

from __future__ import annotations

from ecd_tune.errors import PluginError
from ecd_tune.launch.base import Launch, Launcher
from ecd_tune.registry import LAUNCHERS, load_attribute

__all__ = ["make_launcher"]


def make_launcher(name: str, launch: Launch) -> Launcher:
    """Make a launcher; nothing is started yet.

    Args:
        name: Name of the engine.
        launch: The launch.

    Returns:
        The launcher.

    Raises:
        UnknownNameError: The name is not registered.
        PluginError: The package that registered it fails when it is imported.
    """
    path = LAUNCHERS.get(name).factory
    try:
        factory = load_attribute(path)
    except Exception as error:
        raise PluginError(
            f"launcher {name!r}: {path} cannot be loaded: {type(error).__name__}: {error}; fix or "
            "uninstall the package that registered it"
        ) from error
    launcher: Launcher = factory(launch)
    return launcher
