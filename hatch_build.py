"""Build hook: compile the step of the optimizers where there is a C compiler."""

from __future__ import annotations

import importlib.util
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("ecd_tune", "optim", "fused")


class CompileStep(BuildHookInterface):
    """Put the compiled step into wheels and, of editable installs, into the source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling what came of it."""
        if self.target_name != "wheel":
            return
        folder = Path(self.root) / FOLDER
        spec = importlib.util.spec_from_file_location("compile_step", folder / "compile.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        problem = module.compile_step(folder)
        if problem is not None:
            self.app.display_warning(f"ecd_tune is built without the compiled step: {problem}")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["artifacts"].append((FOLDER / module.NAME).as_posix())
