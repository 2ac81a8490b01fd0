#!/usr/bin/env bash
# Ten days of a shop, as its engineer would have them: one service, feedback, new items and
# customers, standing rules with each day's stock, an update each night, and the way back. Takes
# about a minute on two idle cores.
#
#   tests/ten_days.sh            in a folder that goes again; `lightrec` must be on the PATH
#
# Each row of each file is accounted for: the script adds up what every update says.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'kill "${service:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
days=${DAYS:-10}
run=$folder/run
port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

python - "$folder" "$days" <<'PY'
"""Write the shop: a first log and tables, and for each day a log with new items and customers."""
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl

from tests.shops import Shop

folder, days = Path(sys.argv[1]), int(sys.argv[2])
files = Shop("category", seed=1, customers=60, items=50, visits=6).write(folder / "all")
log, items, users = (pl.read_csv(files[name]) for name in ("log", "items", "users"))
log = log.with_columns(pl.col("time").str.to_datetime())
end = log["time"].max() - timedelta(days=5 * days)
new = {f"i{40 + day}": day for day in range(days)}
late = {f"c{50 + day}": day for day in range(days)}
born = pl.max_horizontal(
    pl.col("sku").replace_strict(new, default=-1), pl.col("customer").replace_strict(late, default=-1)
)
log = log.with_columns(day=pl.max_horizontal((pl.col("time") - end).dt.total_days() // 5, born))
log = log.with_columns(day=pl.when((pl.col("time") < end) & (born < 0)).then(-1).otherwise("day"))
for day in range(-1, days):
    place = folder / f"day-{day}"
    place.mkdir()
    log.filter(day=day).drop("day").write_csv(place / "log.csv")
    for table, key, which, name in ((items, "sku", new, "items"), (users, "customer", late, "users")):
        number = pl.col(key).replace_strict(which, default=-1)
        table.filter(number == day).write_csv(place / f"{name}.csv")
    # One item is sold out each day.
    stock = items.select("sku", stock=(pl.col("sku") != f"i{day}").cast(pl.Int64))
    (folder / "stock").mkdir(exist_ok=True)
    stock.write_csv(folder / "stock" / f"{day}.csv")
PY

lightrec run generic --log "$folder/day--1/log.csv" --items "$folder/day--1/items.csv" \
  --users "$folder/day--1/users.csv" --goal order --until ranker --out "$run" \
  --data.columns '{user: customer, item: sku, feedback: event}' \
  --ranker.trainer.max_epochs 2 --ranker.model.init_args.size 16 \
  --ranker.data.init_args.text_encoder null

cp "$folder/stock/-1.csv" "$run/stock.csv"
cat > "$run/rules.yaml" <<'YAML'
table: stock.csv
in_stock: stock>0
pins:
- {item: i5, place: 2}
YAML
lightrec rules "$run"

lightrec serve "$run" --port "$port" > "$folder/service.log" 2>&1 &
service=$!

for day in $(seq 0 $((days - 1))); do
  cp "$folder/stock/$day.csv" "$run/stock.csv"
  python - "$port" "$day" <<'PY'
"""Visit the service: three customers, of whom one is new, view, put into the basket and order."""
import json
import sys
import time
from urllib.error import URLError
from urllib.request import Request, urlopen

port, day = sys.argv[1], int(sys.argv[2])


def ask(path, body=None):
    body = None if body is None else json.dumps(body).encode()
    request = Request(f"http://127.0.0.1:{port}{path}", body, {"content-type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


for _ in range(600):
    try:
        ask("/ready")
        break
    except URLError:
        time.sleep(0.2)
for customer in ("c1", f"c{50 + day}", f"stranger-{day}"):
    slate = ask("/recommend", {"user": customer, "k": 5})
    shown = [place["item"] for place in slate["items"]]
    told = {"session": slate["session"], "answer": slate["answer"]}
    kinds = ("view", "basket", "order")
    events = [{"id": k, "item": i, "kind": k} | told for k, i in zip(kinds, shown)]
    assert ask("/feedback", {"events": events})["stored"] == 3
    again = ask("/recommend", {"session": slate["session"], "k": 100})
    left = {place["item"] for place in again["items"]}
    assert f"i{day}" not in left.union(shown), "it is sold out"
    assert customer[0] != "s" or (shown[1] == "i5") == (day != 5), "it is pinned"
    assert [item in left for item in shown[:3]] == [True, True, False]
PY
  lightrec served "$run/served.db" "$folder/served-$day"
  lightrec update "$run" --log "$folder/day-$day/log.csv" "$folder/served-$day/log" \
    --items "$folder/day-$day/items.csv" --users "$folder/day-$day/users.csv" \
    2> "$folder/told-$day"
  curl -sf -X POST "http://127.0.0.1:$port/admin/reload" > /dev/null
  python - "$folder" "$day" <<'PY'
"""Add up what the update said of each file's rows."""
import re
import sys
from pathlib import Path

import polars as pl

folder, day = Path(sys.argv[1]), sys.argv[2]
said = (folder / f"told-{day}").read_text()
files = {str(p): pl.read_csv(p).height for p in (folder / f"day-{day}").glob("*.csv")}
served = folder / f"served-{day}" / "log"
files[str(served)] = pl.read_parquet(served / "*.parquet").height
for name, rows in files.items():
    (line,) = re.findall(rf"^{re.escape(name)}: of ([\d,]+) rows (.*)\.$", said, re.MULTILINE)
    counts = [int(n) for n in re.findall(r"(?:^|, )(\d+) (?:are|come)", line[1])]
    assert int(line[0]) == rows == sum(counts), (name, line)
    print(f"day {day}: {Path(name).name}: of {line[0]} rows {line[1]}")
PY
done

lightrec recommend "$run" --all -k 5 --out "$folder/lists.csv"
python - "$folder" <<'PY'
"""Everybody has a list."""
import sys
from pathlib import Path

import polars as pl

folder = Path(sys.argv[1])
lists = pl.read_csv(folder / "lists.csv")
everybody = {*pl.read_csv(folder / "all" / "users.csv")["customer"]}
assert everybody <= {*lists["user"]}, everybody - {*lists["user"]}
assert lists.group_by("user").len()["len"].min() == 5
print(lists.unique("user")["ranked_by"].value_counts().rows())
PY
lightrec estimate "$run" "$folder/served-$((days - 1))/shown" > /dev/null
lightrec evaluate "$run"
lightrec runs rollback "$run"
lightrec runs list "$run"
