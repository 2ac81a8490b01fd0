"""The report says what was read, what was left out and why."""

from lightrec.report.page import data_lines, data_section

META = {
    "order": "time",
    "settings": {"weights": {"purchase": 2.5}},
    "used": {"view": 900, "purchase": 100, "skip": 0},
    "counts": {
        **{"events_read": 1200, "dropped_without_user": 0, "dropped_duplicate": 150},
        **{"dropped_k_core": 50, "events": 1000, "users": 10, "items": 20},
        **{"users_with_one_event": 3, "items_without_row": 0},
    },
}


def test_a_goal_is_told_with_its_events_and_who_reached_it() -> None:
    settings = {**META["settings"], "goal": ["purchase"]}
    counts = {**META["counts"], "validation": 7, "test": 8, "users_with_goal": 9}
    meta = {**META, "settings": settings, "counts": counts}
    sentence = (
        "The goal is purchase: 7 validation and 8 test events, all NDCG is of it, and 9 of 10 "
        "users (90.0%) reached it."
    )
    assert data_lines(meta).splitlines()[2] == f"{sentence} Used are view 900, purchase 100."
    counts["leads"] = 1_234
    hidden = "1,234 events only led to it in the same visit and are in no history."
    assert f"{sentence} {hidden}" in data_section(meta).text


def test_the_section_adds_up() -> None:
    events, used, kept = data_section(META).tables
    assert used.rows == [["view", "900", "1"], ["purchase", "100", "2.5"]]
    numbers = [int(cell.replace(",", "")) for _, cell in events.rows]
    assert numbers[0] - sum(numbers[1:-1]) == numbers[-1]
    assert [row[1] for row in kept.rows] == ["3"]
    assert "ordered by time" in data_section(META).text
