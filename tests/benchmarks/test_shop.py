"""What the benchmark on the made-up shop sets in its tables."""

from benchmarks.shop import SEEDS, advantages, discoveries, table


def cell(blend, each):
    metrics = {f"test/{part}/ndcg@10": blend for part in ("blend", "EASE", "Popularity")}
    return {"metrics": metrics | {"users/blend": each}}


def test_pairs_of_seeds_are_compared_user_by_user():
    cells = {f"goal/seed-{seed}": cell(0.5, [1.0, 0.0, 0.5]) for seed in SEEDS}
    cells |= {f"views/seed-{seed}": cell(0.25, [0.5, 0.0, 0.25]) for seed in SEEDS[:2]}
    assert table(cells).splitlines()[2:] == [
        "| all kinds, goal purchase | 0.500 | 0.500 | 0.500 |",
        "| views alone | 0.250 | 0.250 | 0.250 |",
    ]
    # Differences 1/2, 0 and 1/4: mean 1/4, standard error 1/(4√3), Student's t of 2 is 4.303.
    assert advantages(cells).splitlines()[2:] == ["| views alone | +0.250 (-0.371 to +0.871) |"]


def test_discoveries_stand_apart():
    values = {
        f"test/{name}/{part}/ndcg@10": value + (part == "met") / 2
        for name, value in {"blend": 0.1, "RepeatConsumption": 0.2, "Popularity": 0.3}.items()
        for part in ("met", "discovered")
    }
    metrics = values | {"test/met/events": 600, "test/discovered/events": 1300}
    assert discoveries({"goal/seed-3": {"metrics": metrics}}).splitlines()[2:] == [
        "| had met before | 600 | 0.600 | 0.700 | 0.800 |",
        "| had not met | 1,300 | 0.100 | 0.200 | 0.300 |",
    ]
