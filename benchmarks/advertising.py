"""Two trials: a policy over arms, and probabilities: `make bench NAME=advertising`.

Hillstrom's e-mails and the AdSmart test, from the folder that ``--data`` or LIGHTREC_TEST_DATA
names. The seed splits the people: half to learn from, a tenth to stop by, four tenths held out.
Settings are those of the recipe and were not searched.
"""

import json
import sys
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import torch
from lightrec_advertising.clicks import Coding, fit_clicks
from lightrec_advertising.readers import AdSmartReader, HillstromReader
from lightrec_ope.estimators.bandit import IPS, BanditLog

from benchmarks.cells import Benchmark, data_folder, markdown
from lightrec.calibration import GROUPS, measured, reliability
from lightrec.evaluation.base import keys_of
from lightrec.intervals import mean_interval

SEEDS = (3, 4, 5)
ARMS = ("Mens E-Mail", "Womens E-Mail", "No E-Mail")
POLICIES = {
    "crossed": "learned, conversions by crosses",
    "linear": "learned, spend by least squares",
    "Mens E-Mail": "men's e-mail to all",
    "Womens E-Mail": "women's e-mail to all",
    "No E-Mail": "no e-mail",
}
OUTCOMES = {"spend": "spend ($ a customer)", "conversion": "conversions (%)"}
MODELS = {"crossed": "crossed features", "logistic": "logistic regression", "base": "base rate"}
TRIALS = {"hillstrom": "Hillstrom, conversion", "adsmart": "AdSmart, any answer"}


def split(count: int, seed: int) -> list[np.ndarray]:
    """Draw the rows to learn from, to stop by, and to judge by."""
    order = np.random.default_rng(seed).permutation(count)
    return np.split(order, [count // 2, count * 6 // 10])


def clicks(rows: pl.DataFrame, outcome: np.ndarray, seed: int) -> tuple[dict, Coding, dict]:
    """Fit both click models; give what they measure on held-out rows, and the models."""
    parts = split(len(rows), seed)
    coding = Coding(rows[parts[0]])
    codes = [coding(rows[part]) for part in parts]
    truth = [torch.from_numpy(outcome[part].astype(np.float32)) for part in parts]
    base, last = torch.full((len(parts[2]),), outcome[parts[0]].mean()).double(), truth[2]
    metrics = {f"base/{name}": value for name, value in measured(base, last).items()}
    models = {}
    for name, crosses in (("logistic", 0), ("crossed", 2)):
        model = fit_clicks(codes, truth, coding.sizes, crosses=crosses, seed=seed)
        p, models[name] = model.predict(codes[2]), model
        metrics |= {f"{name}/{key}": value for key, value in measured(p, last).items()}
        metrics |= {f"{name}/bins": bins(p, last)}
    return metrics, coding, models


def bins(forecast: torch.Tensor, happened: torch.Tensor) -> list[list[float]]:
    """Give mean prediction and share of outcomes in groups of equal size."""
    weight, *sums = reliability(forecast, happened, groups=GROUPS)
    return torch.stack([own / weight for own in sums], 1).tolist()


def features(people: pl.DataFrame) -> np.ndarray:
    """Give the columns of a least squares, with a constant."""
    history = people["history"].to_numpy()
    coded = people.select("zip_code", "channel").to_dummies(drop_first=True).to_numpy()
    plain = people.select("recency", "mens", "womens", "newbie").to_numpy()
    return np.column_stack([np.ones(len(people)), plain, history, np.log(history), coded])


def hillstrom(file: Path, seed: int) -> dict[str, object]:
    """Learn whom to send what, and judge it by inverse propensities on the held-out customers."""
    tables = HillstromReader().read(file)
    assert tables.users is not None
    log = tables.log.events.filter(feedback="spend")
    people = log.join(tables.users.rows, on="user", maintain_order="left")
    people = people.select(*tables.users.rows.columns[1:], arm="item")
    spend, shown = log["value"].to_numpy(), log["item"].cast(pl.Enum(ARMS)).to_physical().to_numpy()
    learn, _, judge = split(len(log), seed)
    found, coding, models = clicks(people, spend > 0, seed)
    metrics = {f"hillstrom/{name}": value for name, value in found.items()}
    worth, linear = [], []
    table = features(people)
    for number, arm in enumerate(ARMS):
        own = learn[shown[learn] == number]
        p = models["crossed"].predict(coding(people[judge].with_columns(arm=pl.lit(arm))))
        worth.append(p.numpy() * spend[own][spend[own] > 0].mean())
        weights = np.linalg.lstsq(table[own], spend[own], rcond=None)[0]
        linear.append(table[judge] @ weights)
    chosen = {"crossed": np.argmax(worth, 0), "linear": np.argmax(linear, 0)}
    chosen |= {arm: np.full(len(judge), number) for number, arm in enumerate(ARMS)}
    rewards = {"spend": spend[judge], "conversion": 100.0 * (spend[judge] > 0)}
    for outcome, reward in rewards.items():
        parts = {name: weighted(own, shown[judge], reward) for name, own in chosen.items()}
        for name, own in parts.items():
            key = f"hillstrom/{name}/{outcome}"
            metrics |= keys_of(key, mean_interval(own))
            metrics |= keys_of(f"{key}-minus-mens", mean_interval(own - parts[ARMS[0]]))
    for name in ("crossed", "linear"):
        metrics[f"hillstrom/{name}/mens"] = float((chosen[name] == 0).mean())
    return metrics


def weighted(chosen: np.ndarray, shown: np.ndarray, reward: np.ndarray) -> torch.Tensor:
    """Weigh each person's reward by inverse propensity: (P,), whose mean is the policy's value."""
    target = torch.from_numpy(np.eye(len(ARMS))[chosen])
    was, paid = torch.from_numpy(shown.astype(np.int64)), torch.from_numpy(reward)
    return IPS().parts(BanditLog(was, paid, target, torch.full_like(paid, 1 / 3))).values


def adsmart(file: Path, seed: int) -> dict[str, object]:
    """Predict who answers at all, from arm, hour and device."""
    tables = AdSmartReader().read(file)
    assert tables.users is not None
    log = tables.log.events.group_by("user", maintain_order=True).agg(
        arm=pl.col("item").first(), answered=pl.col("value").sum()
    )
    rows = log.join(tables.users.rows, on="user", maintain_order="left")
    found = clicks(rows.drop("user", "answered"), rows["answered"].to_numpy() > 0, seed)[0]
    return {f"adsmart/{name}": value for name, value in found.items()}


def main() -> None:
    """Run the cells, print the tables and draw the picture."""
    benchmark, data = Benchmark("advertising"), data_folder()
    for seed in SEEDS if data else ():
        command = [sys.executable, "-m", "benchmarks.advertising", "{out}", "{data}", str(seed)]
        benchmark.cell(f"trials/seed-{seed}", command, seed, "metrics.json", data=data)
    print(values(benchmark.cells), probabilities(benchmark.cells), sep="\n\n")
    draw(benchmark.cells, Path(__file__).parents[1] / "docs" / "images" / "advertising.png")


def of(cells: dict[str, dict], key: str) -> float:
    """Give the mean of a metric over the seeds."""
    return fmean(cell["metrics"][key] for cell in cells.values())


def interval(cells: dict[str, dict], key: str, form: str = ".2f") -> str:
    """Set a mean over seeds with the means of the ends of its interval."""
    mean, low, high = (format(of(cells, f"{key}{end}"), form) for end in ("", "/low", "/high"))
    return f"{mean} ({low} to {high})".replace("-", "−")


def values(cells: dict[str, dict]) -> str:
    """Set the values of the policies, and what the learned ones gain, as a Markdown table."""
    rows = []
    for name, title in POLICIES.items():
        shown = [title]
        for outcome in OUTCOMES:
            key = f"hillstrom/{name}/{outcome}"
            shown.append(interval(cells, key))
            gain = f"{key}-minus-mens"
            shown.append("–" if name == ARMS[0] else interval(cells, gain, "+.2f"))
        rows.append(shown)
    head = ["policy"]
    for title in OUTCOMES.values():
        head += [title, "minus men's to all"]
    return markdown(head, rows)


def probabilities(cells: dict[str, dict]) -> str:
    """Set log-loss and calibration error of the click models as a Markdown table."""
    rows = []
    for trial, title in TRIALS.items():
        for model, name in MODELS.items():
            key = f"{trial}/{model}"
            shown = [
                f"{of(cells, f'{key}/{metric}'):.5f}"
                for metric in ("log_loss", "calibration_error")
            ]
            rows.append([title, name, *shown])
    return markdown(["trial", "model", "log-loss (nats)", "calibration error"], rows)


def draw(cells: dict[str, dict], path: Path) -> None:
    """Draw the values of the policies by seed, and the reliability of the click model."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", width_ratios=(1.5, 1))
    for place, cell in enumerate(cells.values()):
        found = cell["metrics"]
        for row, name in enumerate(POLICIES):
            mean, low, high = (found[f"hillstrom/{name}/spend{e}"] for e in ("", "/low", "/high"))
            color = "#c44e52" if name in MODELS or name == "linear" else "#4c72b0"
            at = row + 0.2 * (place - 1)
            panels[0].plot([low, high], [at, at], color=color, linewidth=1)
            panels[0].plot(mean, at, "o", color=color, markersize=4)
        bins = np.array(found["adsmart/crossed/bins"])
        panels[1].plot(*bins.T, "o-", markersize=3, color="#c44e52", alpha=0.6)
    panels[0].set_yticks(range(len(POLICIES)), POLICIES.values())
    panels[0].invert_yaxis()
    panels[0].set(xlabel="$ a customer, held out; a line a seed", title="whom to e-mail")
    limit = panels[1].get_xlim()[1]
    panels[1].plot([0, limit], [0, limit], color="#999999", linewidth=1)
    panels[1].set(xlabel="predicted", ylabel="answered", title="AdSmart: click model")
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    if len(sys.argv) == 4 and not sys.argv[1].startswith("--"):
        to, folder = Path(sys.argv[1]), Path(sys.argv[2])
        numbers = hillstrom(folder / "hillstrom-email" / "hillstrom.csv", int(sys.argv[3]))
        numbers |= adsmart(folder / "adsmart-ab" / "AdSmartABdata.csv", int(sys.argv[3]))
        (to / "metrics.json").write_text(json.dumps(numbers))
    else:
        main()
