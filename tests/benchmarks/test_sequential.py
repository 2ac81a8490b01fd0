"""The benchmark of estimators of whole sessions."""

from benchmarks import sequential_run


def test_values_of_other_users_make_intervals_hold_and_those_of_the_log_itself_do_not():
    """60 logs of 50 sessions, ten features and five actions: a fit to all of them is very close."""
    held = sequential_run.coverage(10, logs=60, sessions=50, many=10**5)
    for name in sequential_run.ROBUST:
        assert held[f"{name}/1"] < 0.7
        assert held[f"{name}/3"] >= 0.88
