"""Energy of the GPUs: NVML's counters where they can be read, else power × time.

All counters are read before a trial, because the GPU is not known yet and asking torch would
initialise CUDA; after the trial torch knows which one was used.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

__all__ = ["WATTS_PER_GPU", "Gpus", "name_gpu"]

WATTS_PER_GPU = 250.0
"""Where neither NVML nor the table knows the GPU."""

# The makers' board powers; for the first two those of the paper (B.7).
_BOARD_WATTS: Mapping[str, float] = {
    "RTX 2080 Ti": 250,
    "T4": 70,
    "RTX 3090": 350,
    "RTX 4090": 450,
    "V100-SXM2": 300,
    "V100-PCIE": 250,
    "A100-SXM4": 400,
    "A100-PCIE": 250,
    "A100 80GB PCIe": 300,
    "L4": 72,
    "H100 PCIe": 350,
    "H100 80GB HBM3": 700,
    "H200": 700,
}


class Gpus:
    """Reads the counters of all GPUs.

    Args:
        nvml: The module ``pynvml``, or None for none; a module that does not work counts as none.
    """

    def __init__(self, nvml: Any = None) -> None:
        self._nvml, self._handles = nvml, _open_all(nvml)

    @classmethod
    def find(cls) -> Gpus:
        """Return those of this machine; without the package ``nvidia-ml-py`` none are measured."""
        try:
            return cls(import_module("pynvml"))
        except ImportError:
            return cls()

    def joules(self) -> dict[str, float]:
        """Return the energy of each GPU since its driver was loaded, by UUID.

        GPUs that do not count (before Volta, slices of one) are left out.
        """
        found = {}
        for uuid, handle in self._handles.items():
            joules = self._ask("nvmlDeviceGetTotalEnergyConsumption", handle)
            if joules is not None:
                found[uuid] = joules / 1000
        return found

    def sharers(self, uuid: str) -> int:
        """Return how many processes compute on a GPU, this one included."""
        handle = self._handles.get(uuid)
        running = self._ask("nvmlDeviceGetComputeRunningProcesses", handle) if handle else None
        return max(1, len(running or ()))

    def watts(self, uuid: str, name: str) -> float:
        """Return the power that a GPU is built for.

        Args:
            uuid: Its UUID.
            name: Its name, where NVML does not know it.

        Returns:
            Its default power limit; else by name; else :data:`WATTS_PER_GPU`.
        """
        handle = self._handles.get(uuid)
        limit = self._ask("nvmlDeviceGetPowerManagementDefaultLimit", handle) if handle else None
        if limit is not None:
            return float(limit) / 1000
        # The longest part that fits: "A100 80GB PCIe" is no "A100-PCIE", "L40" no "L4".
        words = f" {name} "
        fitting = [part for part in _BOARD_WATTS if f" {part} " in words or f" {part}-" in words]
        return _BOARD_WATTS[max(fitting, key=len)] if fitting else WATTS_PER_GPU

    def _ask(self, function: str, handle: Any) -> Any:
        try:
            return getattr(self._nvml, function)(handle)
        except self._nvml.NVMLError:
            return None


def name_gpu(device: str) -> tuple[str, str]:
    """Return the GPU of a trial's device.

    Args:
        device: For example ``cuda:0``, as CUDA counts in this process.

    Returns:
        UUID in NVML's format, and name; empty if unknown.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return "", ""
    properties = torch.cuda.get_device_properties(device)
    uuid = getattr(properties, "uuid", None)
    return (f"GPU-{uuid}" if uuid else ""), properties.name


def _open_all(nvml: Any) -> dict[str, Any]:
    if nvml is None:
        return {}
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        return {nvml.nvmlDeviceGetUUID(handle): handle for handle in handles}
    except nvml.NVMLError:  # no driver on this machine
        return {}
