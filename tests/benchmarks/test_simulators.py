"""The numbers of the benchmark `simulators`, and how it looks for another Python."""

import sys

import pytest

from benchmarks.ranking.environments import interpreter
from benchmarks.simulators.table import numbers, table
from benchmarks.simulators.worlds import sessions


def test_ratios_and_differences():
    cells = {
        "interest-evolution/speed/lightrec": {
            "loop/user_steps_per_cpu_second": 300.0,
            "rollout/user_steps_per_cpu_second": 120.0,
        },
        "interest-evolution/speed/recsim": {"loop/user_steps_per_cpu_second": 2.0},
        "long-term-satisfaction/lightrec": {
            f"sensitivity-0.01/{name}/{kind}": value
            for name in ("choc", "kale", "random")
            for kind, value in (("expected", 99.0), ("twin", 100.0), ("drawn", 0.0))
        },
        "long-term-satisfaction/recsim": {
            f"{n}/expected": 90.0 for n in ("choc", "kale", "random")
        },
    }
    found = numbers({key: {"metrics": metrics} for key, metrics in cells.items()})
    assert found["interest-evolution/speed/loop/times_recsim"] == 150
    assert found["interest-evolution/speed/rollout/part_of_loop"] == 0.4
    assert found["long-term-satisfaction/kale/off_recsim"] == pytest.approx(0.1)
    twin = "long-term-satisfaction/sensitivity-0.01/choc/off_twin"
    assert found[twin] == pytest.approx(-0.01)
    assert f"| {twin} | -1.00% |" in table(found)
    assert numbers({}) == {}


def test_sessions_are_counted_to_their_end():
    found = sessions(0, count=400)
    # Minutes watched cannot be more than clicks times a video's length.
    assert found["watch_time"] <= 4 * found["clicks"] + 1e-6
    assert 75 < found["length"] < 95


def test_another_python_is_found_or_missed():
    own = "{}.{}".format(*sys.version_info)
    with pytest.raises(RuntimeError, match=r"No Python 2\.1 was found"):
        interpreter("2.1")
    try:
        assert own in interpreter(own)
    except RuntimeError:
        pytest.skip(f"Neither the PATH nor pyenv has Python {own}.")
