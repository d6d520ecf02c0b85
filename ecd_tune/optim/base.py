"""Base class of optimizers that need the value of the loss: all of ECDSep except its step.

The complete state of a run is in ``state`` (for each parameter its part of the momentum) and in
``param_groups``: the options, and under ``"trajectory"`` the global scalars, as 0-d tensors in one
dictionary that all groups share. Attributes hold only what can be rebuilt from these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ecd_tune.errors import HyperparameterError, NonFiniteLossError
from ecd_tune.optim.definitions import MOMENTS, OPTIMIZER_DEFS, check_hyperparameters
from ecd_tune.optim.first_release import convert_state_dict
from ecd_tune.optim.fused_steps import LOOK_EVERY, FusedSteps
from ecd_tune.optim.params.gather import (
    Gathered,
    align,
    begin_parameters,
    gather,
    learn_scales,
    refine_scales,
)
from ecd_tune.optim.params.groups import (
    TRAJECTORY,
    check_params,
    known_keys,
    shared_values,
    tensor_lr,
)
from ecd_tune.optim.params.noise import Noise
from ecd_tune.optim.params.ranks import GroupChoice, Ranks, check_shards
from ecd_tune.optim.working import Working

__all__ = ["LossOptimizer"]

_ON_HOST = ("seed", "steps")
"""Scalars that stay on the CPU, int64."""
_YOUNG = {"normalised": True, "mean_moment": 0.0}
"""Scalars that older state_dicts do not have, with their defaults."""


class LossOptimizer(FusedSteps):
    """Base of ECDSep, ECDq1 and BBI.

    Args:
        params: Parameters, or groups of them; a group may have its own values of the
            hyperparameters in ``per_group``.
        hyperparameters: Values by name, checked against the declarations of ``name``.
        seed: Seed of the noise; None draws one from torch's global generator, so that
            ``torch.manual_seed`` governs it.
        maximize: Maximize the loss.
        foreach: Use ``torch._foreach_*``; None decides by the number of blocks.
        wait: Check the loss in every step, which waits for the device; None does so on the CPU
            only.
        fused: Use the fused form; None uses it where possible, False never.
        process_group: Processes over which the loss is averaged.
        shard_group: Processes that each hold different parameters as plain tensors.

    Raises:
        HyperparameterError: A value is not allowed, a parameter is not of a dense floating or
            complex dtype, or groups differ in a global value; or ``fused`` is True and there is no
            fused form.
    """

    name: ClassVar[str]
    counters: ClassVar[tuple[str, ...]]
    per_group: ClassVar[frozenset[str]] = frozenset({"lr"})
    working: ClassVar[type[Working]] = Working
    _working: Working

    def __init__(
        self,
        params: Iterable[Any],
        hyperparameters: Mapping[str, Any],
        *,
        seed: int | None,
        maximize: bool,
        foreach: bool | None,
        wait: bool | None,
        fused: bool | None = None,
        process_group: GroupChoice,
        shard_group: GroupChoice,
    ) -> None:
        checked = {
            **check_hyperparameters(self.name, hyperparameters),
            **tensor_lr(hyperparameters),
        }
        options = {"maximize": maximize, "foreach": foreach, "wait": wait, "fused": fused}
        self._ranks = Ranks(process_group, shard_group)
        self._working = self.working()
        super().__init__(params, {**checked, **options})
        check_shards(self.name, self._all_params(), shard_group)
        if seed is None:
            seed = int(torch.randint(2**62, (), device="cpu"))
        self._share({"seed": _whole_number(seed), "steps": _whole_number(0), **self._begin()})
        if fused:
            self._form_reason()

    # ---------------------------------------------------------------- the loss

    def add_loss(self, loss: Tensor | float) -> None:
        """Add to the loss of the next step.

        Call it once for each ``backward()``, with the value that ``backward`` was called on; then
        ``step()`` needs no argument. With gradient accumulation the values add up as the gradients
        do. :meth:`zero_grad` and :meth:`step` reset the sum.

        Args:
            loss: The value, one number.
        """
        self._working.losses.append(_double(loss, self._home()))

    def clear_loss(self) -> None:
        """Discard the added losses."""
        self._working.losses.clear()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients and the added losses.

        Args:
            set_to_none: As in torch.
        """
        self.clear_loss()
        super().zero_grad(set_to_none)

    def step(
        self, closure: Callable[[], Any] | None = None, *, loss: Tensor | float | None = None
    ) -> Any:
        """Make one step.

        The loss must be the one whose gradient the parameters have. Pass it in one of three ways:
        ``step(closure)``, ``step(loss=loss)``, or :meth:`add_loss` before ``step()``. Added losses
        are used even if a closure is given. Under ``torch.compile`` a step is a graph break.
        ``step()`` without a loss is allowed if ``lr`` is 0 in all groups, because
        torch.distributed.checkpoint calls it on a new optimizer: it only creates the state.

        Args:
            closure: Clears the gradients, computes the loss, calls ``backward`` and returns the
                loss.
            loss: Instead of a closure: the loss whose ``backward`` has been called. With a
                gradient scaler, the unscaled loss, after ``unscale_``.

        Returns:
            The loss, as it was given.

        Raises:
            TypeError: No loss is given, or two.
            NonFiniteLossError: The loss is NaN or infinite; nothing was changed.
        """
        if closure is None and self._quick_step(loss):
            return loss
        # Hooks get the original arguments.
        given = {} if loss is None else {"loss": loss}
        return self._whole_step(*(() if closure is None else (closure,)), **given)

    step.hooked = True  # type: ignore[attr-defined]  # _whole_step is, for torch's step hooks

    @torch.optim.Optimizer.profile_hook_step
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def _whole_step(
        self, closure: Callable[[], Any] | None = None, *, loss: Tensor | float | None = None
    ) -> Any:
        returned = None
        if closure is not None:
            with torch.enable_grad():
                returned = closure()
            if returned is not None and loss is not None:
                raise TypeError(
                    f"{type(self).__name__}.step got both a loss and a closure that returns one; "
                    "pass one of them"
                )
        given = loss if returned is None else returned
        with torch.autocast(self._home().type, enabled=False):
            value = self._take_loss(given, closure)
            if value is not None:
                self._make_step(value)
        return given

    def _take_loss(self, given: Any, closure: object) -> Tensor | None:
        """Return the loss of this step, float64, 0-d; None if there is no step to make.

        Raises:
            TypeError: No loss is given.
        """
        if self._working.losses:
            value = torch.stack(self._working.losses).sum()
            self.clear_loss()
            return value
        if given is not None:
            self._check_values()
            return _double(given, self._home())
        if closure is not None and not any(p.grad is not None for p in self._all_params()):
            self._skip()
            return None
        if closure is None and all(float(group["lr"]) == 0 for group in self.param_groups):
            # torch.distributed.checkpoint calls it to create the state of a new optimizer.
            begin_parameters(self.param_groups, self.state)
            return None
        raise TypeError(
            f"{type(self).__name__}.step needs the loss: call step(loss=loss) after "
            "loss.backward(), step(closure) with a closure that returns the loss, or "
            "add_loss(loss) before step()"
        )

    def _check_values(self) -> None:
        if any(p.is_meta for p in self._all_params()):
            raise HyperparameterError(
                f"{self.name}: parameters on the meta device have no values; materialize the "
                "model before the first step"
            )

    def _make_step(self, value: Tensor) -> None:
        self._adopt()
        steps = self._working.steps
        if steps == 0:
            self._share_seed()
        options = self.param_groups[0]
        mean = self._ranks.average(-value if options["maximize"] else value)
        synced = self._looks()
        plan = self._present_plan()
        gathered = self._gather() if plan is None else None
        loss = mean.wait()
        if synced or not (gathered is None or gathered.theta):
            self._check_loss(loss.item(), steps)
        if not self._fused_step(plan, loss):
            self._reference_step(loss, gathered or self._gather(), steps, synced)
        if not synced and steps % LOOK_EVERY == 0:
            self._look_back(steps)

    def _gather(self) -> Gathered:
        self._normalise()
        options = self.param_groups[0]
        return gather(
            self.param_groups,
            self.state,
            options["foreach"],
            options["maximize"],
            self._ranks.of_shards,
            self._working.factors,
        )

    def _reference_step(self, loss: Tensor, gathered: Gathered, step: int, synced: bool) -> None:
        if gathered.theta:
            if any(group.get("scale") == MOMENTS for group in self.param_groups):
                refine_scales(gathered, self.state, self._working.trajectory, step)
            self._advance(loss, gathered, step, synced)
        self._working.steps += 1
        self._working.trajectory["steps"] = _whole_number(self._working.steps)

    def _advance(self, loss: Tensor, gathered: Gathered, step: int, synced: bool) -> None:
        """Update parameters and state for one loss value, float64, 0-d."""
        raise NotImplementedError

    def _begin(self) -> dict[str, Tensor]:
        """Return the scalars of a run before its first step."""
        raise NotImplementedError

    def _apply(
        self, gathered: Gathered, go: Tensor, moved: list[Tensor], e: list[Tensor], synced: bool
    ) -> None:
        """Update the parameters and the direction if the step is made.

        Args:
            gathered: The blocks.
            go: Whether the step is made.
            moved: ΔΘ; may be NaN if it is not.
            e: Direction of the momentum; may also be NaN then.
            synced: The device is synchronised anyway.
        """
        if not synced:
            algebra = gathered.algebra
            moved = algebra.where(go, moved, [torch.zeros_like(m) for m in moved])
            e = algebra.where(go, e, gathered.directions)
        elif not go:
            return
        gathered.move(moved)
        gathered.keep(self.state, e)
        if gathered.factors is not None:
            working = self._working
            learn_scales(gathered, self.state, working.trajectory, working.steps, go)

    def _look_back(self, step: int) -> None:
        """Check the losses that were not checked in their step.

        Raises:
            NonFiniteLossError: One was not finite.
        """
        bad = self._working.trajectory.get("first_bad")
        if bad is None or (bad.is_cuda and torch.cuda.is_current_stream_capturing()):
            return
        if int(bad) < 0:
            return
        self._working.trajectory["first_bad"] = torch.full_like(bad, -1)
        self._forget_state()
        raise NonFiniteLossError(
            f"{type(self).__name__}: the loss at step {int(bad)} was not finite (found at step "
            f"{step}); a finite loss is needed (try a smaller lr)"
        )

    def _looks(self) -> bool:
        wait = self.param_groups[0]["wait"]
        return self._home().type == "cpu" if wait is None else bool(wait)

    def _skip(self) -> None:
        """Count a step without loss and gradients."""
        self._adopt()
        self._working.trajectory["skipped"] = self._working.trajectory["skipped"] + 1

    def report(self) -> dict[str, Any]:
        """Return counters and global state as plain numbers.

        Raises:
            NotImplementedError: In this base class.
        """
        raise NotImplementedError

    def _check_loss(self, value: float, step: int) -> None:
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"{type(self).__name__}: the loss at step {step} is {value}; "
                "a finite loss is needed (try a smaller lr)"
            )

    # ---------------------------------------------------------- random numbers

    def _draw(self, gathered: Gathered, step: int, *, uniform: bool = False) -> list[Tensor]:
        """Return random numbers for the current blocks."""
        if self._working.noise is None:
            self._working.noise = Noise(int(self._working.trajectory["seed"]), self._home())
        numbers = self._working.noise.uniform if uniform else self._working.noise.normal
        return gathered.draw(numbers, step, *self._lay_out(gathered.sizes))

    def _lay_out(self, sizes: Sequence[int]) -> tuple[list[int], int]:
        """Return the start of each parameter in the vector of all parameters, and its length."""
        key = (len(self.param_groups), list(sizes))
        if self._working.layout is None or self._working.layout[0] != key:
            same = any(getattr(p, "_fsdp_flattened", False) for p in self._all_params())
            self._working.layout = (key, *self._ranks.lay_out(sizes, same))
        return self._working.layout[1:]

    def _share_seed(self) -> None:
        seed = int(self._working.trajectory["seed"])
        self._working.trajectory["seed"] = _whole_number(self._ranks.first_seed(seed, self._home()))

    # ------------------------------------------------------------ groups, blocks

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; their momentum starts at zero.

        Args:
            param_group: As for any torch optimizer.

        Raises:
            HyperparameterError: As at construction, or the group has an unknown key.
        """
        param_group = known_keys(self.name, param_group)
        super().add_param_group(param_group)
        try:
            self._check_group(self.param_groups[-1])
        except HyperparameterError:
            self.param_groups.pop()
            raise
        if self._working.trajectory:
            self._drop_plan()
            self._share(self._working.trajectory)

    def _check_group(self, group: dict[str, Any]) -> None:
        checked = check_hyperparameters(self.name, {k: group[k] for k in self._declared()})
        group.update({**checked, **tensor_lr(group)})
        check_params(self.name, group)
        self._shared()

    @classmethod
    def _declared(cls) -> Iterable[str]:
        return OPTIMIZER_DEFS[cls.name].hyperparameters

    def _shared(self) -> dict[str, Any]:
        """Return the global hyperparameters.

        Raises:
            HyperparameterError: Two groups do not agree on one.
        """
        return shared_values(self.name, self.param_groups, self.per_group)

    def _all_params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _home(self) -> torch.device:
        """Return the device of the first parameter, which holds scalars and noise."""
        for group in self.param_groups:
            for p in group["params"]:
                return torch.device("cpu") if p.is_meta else torch.device(p.device)
        return torch.device("cpu")

    def _aligned(self, gathered: Gathered, log_p: Tensor) -> Tensor:
        """Return log|Π| of the parameters with a gradient."""
        return align(gathered, self.state, log_p, self._working.away, self._ranks)

    # ------------------------------------------------------- saving and restoring

    def _share(self, trajectory: dict[str, Tensor]) -> None:
        """Share one dictionary of scalars among all groups, on the device of the parameters."""
        home = self._home()
        for key, value in trajectory.items():
            trajectory[key] = value.cpu() if key in _ON_HOST else value.to(home)
        self._working.trajectory, self._working.steps = trajectory, int(trajectory["steps"])
        self._working.normalised = bool(trajectory.get("normalised", True))
        for group in self.param_groups:
            group[TRAJECTORY] = trajectory

    def _adopt(self) -> None:
        """Read the scalars from the groups if they were replaced or moved."""
        mine = self._working.trajectory
        home = self._home()
        moved = any(v.device != home for k, v in mine.items() if k not in _ON_HOST)
        if not moved and all(group.get(TRAJECTORY) is mine for group in self.param_groups):
            return
        held = [group[TRAJECTORY] for group in self.param_groups if group.get(TRAJECTORY)]
        self._working.reset()
        self._share({key: value.detach().clone() for key, value in held[0].items()})
        self._working.away = {
            p for p, own in self.state.items() if own["log_norm"].item() != math.inf
        }
        self._restore()

    def _restore(self) -> None:
        """Rebuild everything that depends on the scalars."""

    def state_dict(self) -> dict[str, Any]:
        """Return momenta and groups, with all global state in the groups."""
        self._flush()
        # torch.distributed.checkpoint loads in place: no two entries may share their memory.
        for key, value in self._working.trajectory.items():
            self._working.trajectory[key] = value.clone()
        self._drop_plan()  # which writes in place
        return super().state_dict()

    def _flush(self) -> None:
        """Write values that are kept elsewhere temporarily into the groups."""
        self._adopt()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the exact state of the saved optimizer.

        Args:
            state_dict: Returned by :meth:`state_dict`; can be loaded with
                ``torch.load(weights_only=True)``. Those of the first release can be loaded too:
                they continue with other random numbers.

        Raises:
            HyperparameterError: It belongs to another kind of optimizer.
        """
        loaded: dict[str, Any] = {}

        def convert(_: Any, given: dict[str, Any]) -> dict[str, Any]:
            loaded.update(self._checked_state(given))
            return loaded

        def uncast(_: Any) -> None:
            # torch casts state to the parameter's dtype; momentum and scalars have their own.
            saved = [i for group in loaded["param_groups"] for i in group["params"]]
            for index, p in zip(saved, self._all_params(), strict=True):
                if index in loaded["state"]:
                    own = loaded["state"][index]
                    self.state[p] = {k: _own_copy(v, p.device) for k, v in own.items()}
            self._working.trajectory = {}
            self._adopt()

        # After the user's hooks before loading, and before those after loading.
        before = self.register_load_state_dict_pre_hook(convert)
        after = self.register_load_state_dict_post_hook(uncast, prepend=True)
        try:
            super().load_state_dict(state_dict)
        finally:
            before.remove()
            after.remove()

    def _checked_state(self, given: dict[str, Any]) -> dict[str, Any]:
        given = convert_state_dict(given, self._begin(), self.param_groups, self.counters)
        for group in given["param_groups"]:
            group.setdefault("fused", None)  # missing in older state_dicts
            for key, value in _YOUNG.items():
                if TRAJECTORY in group and key in self._working.trajectory:
                    group[TRAJECTORY].setdefault(key, torch.tensor(value))
            if TRAJECTORY not in group:
                raise HyperparameterError(
                    f"{self.name}: this state_dict has no {TRAJECTORY!r} in its groups; it belongs "
                    "to another optimizer"
                )
            missing = set(self._declared()) - set(group)
            if missing:
                raise HyperparameterError(
                    f"{self.name}: this state_dict has no {', '.join(sorted(missing))}; it belongs "
                    "to another optimizer"
                )
        return given

    def __getstate__(self) -> dict[str, Any]:
        self._flush()
        return {**super().__getstate__(), "_ranks": self._ranks}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_working" not in self.__dict__:  # unpickled: there was no constructor
            self._working = self.working()


def _own_copy(value: Any, device: torch.device) -> Any:
    return value.detach().to(device, copy=True) if isinstance(value, Tensor) else value


def _whole_number(value: int) -> Tensor:
    return torch.tensor(value, dtype=torch.int64, device="cpu")


def _double(value: Any, home: torch.device) -> Tensor:
    """Return one number as float64, 0-d."""
    if hasattr(value, "full_tensor"):
        value = value.full_tensor()
    if isinstance(value, Tensor):
        return value.detach().to(home, torch.float64).reshape(())
    # as_tensor would round a Python float to torch's default dtype first.
    return torch.tensor(float(value), dtype=torch.float64, device=home)
