"""What the terminal shows of predictions that another recommender made."""

from collections.abc import Mapping

WHO = {
    "predictions": "your predictions",
    "blend": "blend",
    "difference": "your predictions − blend",
}


def prediction_lines(metrics: Mapping[str, float]) -> list[str]:
    """Set the scores of the users in the file and of all users, and say what the file lacks."""
    if "predictions/users" not in metrics:
        return []
    users, present, known, listed = (
        int(metrics[f"predictions/{key}"]) for key in ("users", "present", "known", "listed")
    )
    columns = {"present": f"the {present:,} in the file"} if present < users else {}
    columns["all"] = f"all {users:,} tested users"
    lines = ["NDCG@10 (95 %)".ljust(26) + "".join(f"{title:>28}" for title in columns.values())]
    for who, title in WHO.items():
        cells = (_interval(metrics, f"predictions/{part}/{who}/ndcg@10", who) for part in columns)
        lines.append(title.ljust(26) + "".join(f"{cell:>28}" for cell in cells))
    if present < users:
        lines += [
            "",
            f"Your file can be judged for {present:,} of the {users:,} users with held-out events "
            f"({present / users:.0%}); among all users the others count as failures.",
        ]
    if known:
        lines.append(
            f"The lists of {known:,} users were made from histories that contain held-out events; "
            "those events are not judged, and count as failures among all users. Make the file "
            "with `lightrec recommend RUN --all --before test`."
        )
    if not listed:
        lines.append(
            "No list holds a held-out item of its user. Lists that were made from the whole log "
            "and leave out what a user has seen cannot hold one: make them from the events before."
        )
    return lines


def _interval(metrics: Mapping[str, float], key: str, who: str) -> str:
    sign = "+" if who == "difference" else ""
    mean, low, high = (f"{metrics[k]:{sign}.3f}" for k in (key, f"{key}/low", f"{key}/high"))
    return f"{mean} ({low} to {high})"
