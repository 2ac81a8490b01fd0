"""What the report says of how much of the policy's advantage in A is left in B."""

from collections.abc import Mapping

from lightrec.evaluation.sections import Table, signed

COLUMNS = {"accepted": "accepted", "per_step": "per step", "length": "steps"}


def ratio_table(metrics: Mapping[str, float], contenders: Mapping[str, str]) -> list[Table]:
    """Set each advantage in A, in B, and the transfer ratio; no table where A was not played.

    :param contenders: titles by the names under which the contenders' metrics stand.
    """
    if "simulator_a/policy/accepted" not in metrics:
        return []
    rows = []
    for name, title in _others(contenders):
        for key, column in COLUMNS.items():
            end = f"policy-minus-{name}/{key}"
            advantages = [_difference(metrics, f"{s}/{end}") for s in ("simulator_a", "simulator")]
            rows.append([f"policy − {title}, {column}", *advantages, _ratio(metrics, name, key)])
    return [Table(["", "in user model A", "in user model B", "transfer ratio"], rows)]


def ratio_lines(metrics: Mapping[str, float], contenders: Mapping[str, str]) -> list[str]:
    """Set the ratios for a terminal, those of accepted items and per step, where there are any."""
    if "simulator_a/policy/accepted" not in metrics:
        return []
    lines = []
    for name, title in _others(contenders):
        if f"transfer_ratio/{name}/accepted" in metrics:
            both = (
                f"{_ratio(metrics, name, key)} {COLUMNS[key]}" for key in ("accepted", "per_step")
            )
            lines.append(f"  over {title:<24}{'; '.join(both)}")
    if not lines:
        return ["", "The policy has no advantage in A that is clearly above 0."]
    return ["", "transfer ratio: the policy's advantage in B over that in A", *lines]


def _others(contenders: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, title) for name, title in contenders.items() if name != "policy"]


def _difference(metrics: Mapping[str, float], key: str) -> str:
    return signed(metrics[key], metrics[f"{key}/low"], metrics[f"{key}/high"])


def _ratio(metrics: Mapping[str, float], name: str, key: str) -> str:
    ratio = metrics.get(prefix := f"transfer_ratio/{name}/{key}")
    if ratio is None:
        return "–"
    low, high = metrics[f"{prefix}/low"], metrics[f"{prefix}/high"]
    return f"{ratio:.2f} ({low:.2f} to {high:.2f})"
