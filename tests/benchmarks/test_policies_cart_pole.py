"""What the benchmark of the pole on a cart says was reached."""

from benchmarks.policies.cart_pole import table


def cell(mean, steps):
    metrics = {"return": mean, "return/lowest": 9.0, "fit/cpu_seconds": 12.3}
    steps = {"train/environment_steps": steps, "validation/environment_steps": 100}
    return {"metrics": metrics | steps}


def test_both_the_return_and_the_steps_must_be_reached():
    cells = {
        "ppo/seed-0": cell(475.0, 500_000),
        "ppo/seed-1": cell(474.9, 20_480),
        "dqn/seed-0": cell(500.0, 200_001),
    }
    lines = table(cells).splitlines()[2:]
    assert [line.split(" | ")[-1] for line in lines] == ["yes |", "no |", "no |"]
    assert lines[0] == "| ppo/seed-0 | 475 | 9 | 500,000 | 100 | 12 | yes |"
