"""Where a training step of the shipped ranker spends its time, beside the core's matrix peak."""

import json
import time
from math import prod
from typing import Any

import lightning.pytorch as pl
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import Cell

BEFORE, STEPS = 20, 100
"""Steps before the profile begins, and in it."""
GROUPS = {
    "products": ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm"),
    "attention": (
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    ),
    "exponentials": ("aten::exp", "aten::exp_", "aten::logsumexp"),
    "optimizer": (
        "aten::_fused_adamw_",
        "aten::addcdiv_",
        "aten::addcmul_",
        "aten::lerp_",
        "aten::sqrt",
    ),
    "dropout": ("aten::bernoulli_", "aten::native_dropout", "aten::native_dropout_backward"),
}


def operations(shapes: list[list[int]]) -> int:
    """Multiplications and additions of a matrix product."""
    first, second = [shape for shape in shapes if len(shape) > 1][-2:]
    return 2 * prod(first) * second[-1]


def peak(size: int = 2048, times: int = 5) -> float:
    """The best of some products of square matrices, in 10^9 operations a second."""
    matrix, best = torch.randn(size, size), float("inf")
    for _ in range(times):
        began = time.perf_counter()
        torch.mm(matrix, matrix)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e9


class Watch(pl.Callback):
    """Profiles some training steps, and ends training.

    :param out: where the shares are written.
    """

    def __init__(self, out: str) -> None:
        self.out, self.profile = out, profile(activities=[ProfilerActivity.CPU], record_shapes=True)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == BEFORE:
            self.profile.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step != BEFORE + STEPS:
            return
        self.profile.stop()
        events = self.profile.key_averages(group_by_input_shape=True)
        total = sum(event.self_cpu_time_total for event in events)
        found = {"ms a step": total / STEPS / 1e3, "gflops peak": peak()}
        for group, names in GROUPS.items():
            mine = [event for event in events if event.key in names]
            spent = sum(event.self_cpu_time_total for event in mine)
            found[f"{group} share"] = spent / total
            if group == "products":
                done = sum(event.count * operations(event.input_shapes) for event in mine)
                found["gflops products"] = done / spent / 1e3
        with open(self.out, "w", encoding="utf-8") as file:
            json.dump(found, file)
        trainer.should_stop = True


def measure(cell: Cell) -> dict[str, float]:
    """Train for some steps by the shipped recipe."""
    torch.set_num_threads(1)
    name, out = "--ranker.trainer.callbacks", cell.out / "profile.json"
    words = [f"{name}+={__name__}.Watch", f"{name}.out={out}"]
    words += ["--ranker.trainer.max_steps", str(BEFORE + STEPS)]
    cell.run(*cell.options, *words, "--until", "ranker")
    found: dict[str, float] = json.loads(out.read_text())
    return found
