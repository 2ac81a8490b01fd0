"""What learned policies are set beside, so that no table claims more than there is."""

import torch

from benchmarks import figures, long_run, reinforce, sequential_run, to_gain


def test_who_is_greedy_by_the_judge_stands_beside_who_learned_in_it():
    accepted = {name: 8.0 for name in to_gain.CONTROLS} | {"judge-greedy": 9.25}
    metrics = {f"{name}/accepted": value for name, value in accepted.items()}
    metrics |= {f"{name}/length": 16.5 for name in accepted}
    table = to_gain.controls({"ml-100k/controls/seed-3": {"metrics": metrics}})
    assert "| greedy by the judge's own law, untrained | 9.25 | +1.25 | 16.50 |" in table
    assert "learned in the judge with γ = 0 | 8.00 | +0.00 | 16.50 |" in table
    assert "| best constant list, searched in the judge | 8.00 | +0.00 | 16.50 |" in table


def test_rules_that_learn_nothing_stand_beside_policies_for_the_long_run():
    known = {"random": 10.0, "oracle": 20.0, "learned": 15.0, "behavior": 12.0}
    cells = {f"{world}/truth/seed-3": {"metrics": known} for world in long_run.COURSES}
    cells["satisfaction/rules/seed-3"] = {"metrics": {"most kale": 16.0}}
    cells["hole/sound/seed-3"] = {"metrics": known | {"probe/hole": 0.0}}
    cells["hole/constant/seed-3"] = {"metrics": {"constant": 17.0, "most kale": 16.0}}
    table, hole = long_run.table(cells), long_run.hole(cells)
    assert "| satisfaction | always the most kale | 0.60 | – | – | – |" in table
    assert "| retention | always the highest quality | – | – | – | – |" in table
    assert "the best of 50 in the true world | 0.70 | – | – | – | – |" in hole


def test_rewarded_generators_are_compared_with_greedy_by_user_model_a():
    head, _, *rows = reinforce.sessions(figures.read("reinforce")).splitlines()
    assert head.endswith("| over greedy by A (95 %) |")
    assert all("| -" in row.rpartition("(")[0] for row in rows)  # it loses with every seed


def test_satisfaction_is_estimated_whatever_a_world_makes_of_clicks():
    chance = torch.Generator().manual_seed(0)
    quality = 2 * torch.rand(4_000, 10, generator=chance, dtype=torch.float64) - 1
    clicked = (torch.rand(quality.shape, generator=chance) < 0.6).double()
    true, there = torch.zeros_like(quality), torch.ones_like(quality, dtype=torch.bool)
    for step in range(1, 10):
        news = quality[:, step - 1] * clicked[:, step - 1] - 0.2 * (1 - clicked[:, step - 1])
        true[:, step] = 0.6 * true[:, step - 1] + news
        leaves = torch.rand(4_000, generator=chance) < (-2 - 1.5 * true[:, step]).sigmoid()
        there[:, step] = there[:, step - 1] & ~leaves
    found = sequential_run.satisfied(quality, clicked, there)
    assert torch.corrcoef(torch.stack([found[there], true[there]]))[0, 1] > 0.97
