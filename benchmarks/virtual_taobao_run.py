"""One cell of the benchmark of Virtual Taobao: lightrec's batched environment."""

import json
import sys
import time
from pathlib import Path

import torch
from lightrec_ecommerce.virtual_taobao import PAGE, VirtualTaobao, click_rate

from lightrec.keys import Key

ROWS, WARM, STEPS, SESSION = 8192, 10, 200, 101


def play(simulator: VirtualTaobao, action: torch.Tensor | None) -> dict[str, float]:
    """Play random actions, or a constant one; sessions follow each other."""
    state = simulator.reset()
    clicks = seconds = 0.0
    for step in range(WARM + STEPS):
        began = time.process_time()
        if action is None:
            simulator.rand_action(state)
        else:
            state[Key.ACTION] = action.expand(ROWS, -1)
        whole, state = simulator.step_and_maybe_reset(state)
        if step >= WARM:
            seconds += time.process_time() - began
            clicks += float(whole["next", "reward"].sum())
    return {
        "steps_per_cpu_second": STEPS * ROWS / seconds,
        "click_rate": clicks / (STEPS * ROWS * PAGE),
    }


def sessions(simulator: VirtualTaobao) -> dict[str, float]:
    """Play whole sessions, so that none is cut by the end of the measurement."""
    rates, lengths, state = [], [], simulator.reset()
    alive = torch.ones(ROWS, 1, dtype=torch.bool)
    for _ in range(SESSION):
        following = simulator.step(simulator.rand_action(state))["next"]
        over = alive & following["done"]
        rates.append(click_rate(following)[over])
        lengths.append(following[Key.STEP][over])
        alive = alive & ~over
        state = following.exclude("reward")
        if not alive.any():
            break
    return {
        "mean_session_click_rate": float(torch.cat(rates).mean()),
        "mean_session_length": float(torch.cat(lengths).float().mean()),
    }


def main(folder: str, out: str, kept: str) -> None:
    """Measure, and leave the best constant action for the peer."""
    torch.set_num_threads(1)
    simulator = VirtualTaobao(folder, ROWS)
    simulator.set_seed(0)
    torch.manual_seed(0)
    found = play(simulator, None) | sessions(simulator)
    searched = VirtualTaobao(folder, 64)
    actions = []
    for seed in range(5):
        searched.set_seed(seed)
        actions.append(searched.best_constant_action(seed=seed))
    rates = [play(simulator, action)["click_rate"] for action in actions]
    best = max(range(5), key=rates.__getitem__)
    found |= {"constant_click_rate": rates[best], "constant_click_rates_of_searches": rates}
    Path(kept).write_text(json.dumps(actions[best].tolist()))
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
