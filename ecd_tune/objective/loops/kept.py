"""State that a user's loop keeps, and whether it is complete."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from ecd_tune.errors import TaskError
from ecd_tune.objective.training.means import copy_state

__all__ = ["Kept"]


class Kept:
    """Things with a state, in the order in which they were given.

    It watches the modules that are called in the first epoch: a module with changing buffers, such
    as a batch normalisation, that is not kept would be restored with its initial statistics.
    """

    def __init__(self) -> None:
        self._things: list[Any] = []
        self._seen: dict[int, tuple[nn.Module, dict[str, Tensor]]] = {}
        self._hook: Any = None

    def add(self, thing: Any) -> None:
        """Keep an object; repeated calls have no effect.

        Args:
            thing: Has ``state_dict`` and ``load_state_dict``.
        """
        if not any(thing is own for own in self._things):
            self._things.append(thing)

    def check(self, trained: Iterable[Tensor]) -> None:
        """Check that all that is trained is kept.

        Args:
            trained: The optimizers' parameters.

        Raises:
            TaskError: A parameter belongs to no module that is kept.
        """
        modules = [thing for thing in self._things if isinstance(thing, nn.Module)]
        known = {id(p) for module in modules for p in module.parameters()}
        shapes = [str(tuple(p.shape)) for p in trained if id(p) not in known]
        if shapes and len(modules) == len(self._things):
            raise TaskError(
                f"{len(shapes)} trained parameters are not kept, of shape {shapes[0]} and so on; "
                "write model = run.keep(model) before run.optimizer(model.parameters())"
            )

    def watch(self) -> None:
        """Begin to watch which modules are called."""
        self._hook = register_module_forward_pre_hook(self._note)

    def _note(self, module: nn.Module, inputs: Any) -> None:
        if module._buffers and id(module) not in self._seen:
            buffers = {k: b.clone() for k, b in module._buffers.items() if b is not None}
            self._seen[id(module)] = module, buffers

    def check_used(self) -> None:
        """Check that all modules with changed buffers are kept; stops watching.

        Raises:
            TaskError: One has.
        """
        self.close()
        modules = (m for thing in self._things if isinstance(thing, nn.Module) for m in [thing])
        known = {id(module) for thing in modules for module in thing.modules()}
        for number, (module, before) in self._seen.items():
            changed = [k for k, b in before.items() if not _same(b, module._buffers.get(k))]
            if number not in known and changed:
                raise TaskError(
                    f"the buffers {', '.join(changed)} of a {type(module).__name__} change in "
                    "training and are not kept; write model = run.keep(model) for the module that "
                    "contains it"
                )
        self._seen.clear()

    def close(self) -> None:
        """End the watch."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    @staticmethod
    def copy_of(thing: Any) -> Any:
        """Return a copy of an object's state, including buffers that it does not save."""
        state = copy_state(thing.state_dict())
        if not isinstance(thing, nn.Module):
            return state
        own = {k: b.clone() for k, b in thing.named_buffers() if k not in state}
        return {"state": dict(state), "buffers": own}

    def copy(self) -> list[Any]:
        """Return copies of all states."""
        return [self.copy_of(thing) for thing in self._things]

    @torch.no_grad()
    def load(self, states: list[Any]) -> None:
        """Restore states.

        Args:
            states: As :meth:`copy` returned them.

        Raises:
            ValueError: They are not as many.
        """
        if len(states) != len(self._things):
            raise ValueError(f"{len(self._things)} objects are kept, {len(states)} were saved")
        for thing, held in zip(self._things, states, strict=True):
            if not isinstance(thing, nn.Module):
                thing.load_state_dict(copy_state(held))
                continue
            thing.load_state_dict(held["state"])
            own = dict(thing.named_buffers())
            for name, buffer in held["buffers"].items():
                own[name].copy_(buffer)


def _same(before: Tensor, now: Tensor | None) -> bool:
    return now is not None and before.shape == now.shape and torch.equal(before, now)
