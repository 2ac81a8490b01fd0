"""AdamW whose cost follows the rows that a batch reads, for tables of large catalogs.

AdamW moves every row at every step: those without a slope by what is left of their moments. That is
a geometric sum, which is invented for when a row is read again. So rows are where AdamW would have
them, but for what ``eps`` does to moments that are nearly gone, and for changes of the weight decay
while a row waits. torch's ``SparseAdam`` and TensorFlow's ``LazyAdam`` leave such rows as they are:
a row that occurs once in a hundred steps then learns many times as slowly.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import Tensor

WAITED: Final = 128
"""Steps after which nothing of a moment is left to move a row."""
AT_ONCE: Final = 65_536
"""Rows that are moved at once where all are."""
OWN: Final = ("last", "rates")
"""What the state of such a table has beside AdamW's; checkpoints do without it."""


class RowAdamW(torch.optim.AdamW):
    """AdamW for dense gradients; for sparse ones, whose rows :meth:`catch_up` before they are read.

    A parameter with sparse gradients has ``last`` (N,) in its state, the step up to which each row
    is moved, and ``rates``, the learning rate of each step times the correction of the moments.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step; see :class:`torch.optim.AdamW`."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._step_rows(parameter, parameter.grad.coalesce(), group)
                    parameter.grad = None
        super().step()
        return loss

    @torch.no_grad()
    def catch_up(self, parameter: Tensor, rows: Tensor | None = None) -> None:
        """Move rows to where AdamW would have them by now.

        :param rows: (R,) int64, distinct; None for all.
        """
        state = self.state.get(parameter, {})
        if "last" not in state:
            return
        if rows is None:
            for some in torch.arange(len(parameter), device=parameter.device).split(AT_ONCE):
                self.catch_up(parameter, some)
            return
        group = next(g for g in self.param_groups if any(p is parameter for p in g["params"]))
        waited = int(state["step"]) - state["last"][rows]
        rows, waited = rows[waited > 0], waited[waited > 0].unsqueeze(1)
        if not len(rows):
            return
        first, second = group["betas"]
        decay, steps = 1 - group["lr"] * group["weight_decay"], torch.arange(1, WAITED + 1)
        began, which = state["last"][rows].cpu().unique(return_inverse=True)
        ahead = began.unsqueeze(1) + steps
        rates = state["rates"][ahead.clamp_max(int(state["step"]))] * (ahead <= int(state["step"]))
        sums = (rates * (first / second**0.5 / decay) ** steps.double()).sum(1, keepdim=True)
        shares = sums[which].to(parameter) * decay**waited
        mean, square = state["exp_avg"][rows], state["exp_avg_sq"][rows]
        moved = parameter[rows] * decay**waited - shares * mean / (square.sqrt() + group["eps"])
        parameter[rows] = moved
        state["exp_avg"][rows] = mean * first**waited
        state["exp_avg_sq"][rows] = square * second**waited
        state["last"][rows] += waited.squeeze(1)

    def state_dict(self) -> dict[str, Any]:
        """AdamW's, of rows that are all moved up to the last step."""
        for parameter in self.state:
            self.catch_up(parameter)
        found: dict[str, Any] = super().state_dict()
        kept = {
            number: {name: value for name, value in state.items() if name not in OWN}
            for number, state in found["state"].items()
        }
        return {**found, "state": kept}

    def _step_rows(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        (rows,), slope, state = gradient.indices(), gradient.values(), self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device if group["fused"] else "cpu")
            state |= {n: torch.zeros_like(parameter) for n in ("exp_avg", "exp_avg_sq")}
        if "last" not in state:  # as after steps with dense gradients
            state["last"] = torch.full((len(parameter),), int(state["step"]), device=rows.device)
            state["rates"] = torch.zeros(int(state["step"]) + WAITED, dtype=torch.float64)
        self.catch_up(parameter, rows)
        state["step"] += 1
        number, (first, second) = int(state["step"]), group["betas"]
        rate = group["lr"] * (1 - second**number) ** 0.5 / (1 - first**number)
        if number == len(state["rates"]):
            state["rates"] = torch.cat([state["rates"], torch.zeros_like(state["rates"])])
        state["rates"][number] = rate
        mean = state["exp_avg"][rows].lerp_(slope, 1 - first)
        square = state["exp_avg_sq"][rows].mul_(second).addcmul_(slope, slope, value=1 - second)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        state["last"][rows] = number
        least = group["eps"] * (1 - second**number) ** 0.5
        weights = parameter[rows].mul_(1 - group["lr"] * group["weight_decay"])
        parameter[rows] = weights.addcdiv_(mean, square.sqrt_().add_(least), value=-rate)


def clip_gradients(parameters: Iterable[Tensor], most: float) -> None:
    """Shorten gradients, dense and sparse, so that the norm of all together is ``most`` at most."""
    slopes = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            slopes.append(parameter.grad.values())
        elif parameter.grad is not None:
            slopes.append(parameter.grad)
    norm = torch.stack([torch.linalg.vector_norm(slope) for slope in slopes]).norm()
    for slope in slopes:
        slope.mul_((most / (norm + 1e-6)).clamp_max(1.0))
