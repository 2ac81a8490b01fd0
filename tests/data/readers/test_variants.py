"""Headers and formats of real logs: recognised, or refused with the sentence that mends them."""
# ruff: noqa: E501

import gzip

import pyarrow as pa
import pytest

from lightrec.data.readers.base import read_tables
from lightrec.errors import DataError

EVENTS = [(f"u{n % 7}", f"i{n * 3 % 11}", n % 5 + 1, 1_600_000_000 + 86_400 * n) for n in range(40)]
"""User, item, rating and time of small logs in the places where no example is given."""


def lines(separator=",", header="", form="{0}|{1}|{2}|{3}"):
    rows = [form.format(*event).replace("|", separator) for event in EVENTS]
    return "\n".join([header] * bool(header) + rows) + "\n"


UI = {"user": "user", "item": "item"}
FIRST = ("u0", "i0")

# File, content, options, and what is recognised (columns, and the first user, item and date) or a
# piece of the sentence that says what to do.
VARIANTS = {
    "MovieLens 1M by position": (
        "ml.dat", lines("::"), {"columns": {"user": "1", "item": "2", "value": "3", "time": "4"}},
        ({"user": "1", "item": "2", "value": "3", "time": "4"}, *FIRST, "2020-09-13"),
    ),
    "MovieLens 100K without its reader": ("u.txt", lines("\t"), {}, "--columns '{user: 1, item: 2, time: 4"),
    "Amazon 2014 JSON": (
        "reviews.json.gz", gzip.compress(b'{"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1252800000, "reviewTime": "09 13, 2009", "helpful": [0, 0]}\n'),
        {}, ({"user": "reviewerID", "item": "asin", "time": "unixReviewTime", "value": "overall"}, "A1", "B1", "2009-09-13"),
    ),
    "Online Retail without descriptions, month first": (  # a package's reader knows it by them
        "retail.csv", "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        '536365,85123A,6,12/1/10 8:26,2.55,17850,"Kingdom, United"\n536366,71053,-1,12/13/10 8:26,3.39,17850,UK\n', {},
        ({"user": "CustomerID", "item": "StockCode", "time": "InvoiceDate", "count": "Quantity", "session": "InvoiceNo"}, "17850", "85123A", "2010-12-01"),
    ),
    "JSON list": ("review.json", '[{"user": 1, "item": 2}]', {}, "jq -c '.[]' OLD > NEW.jsonl"),
    "Steam as Python": ("steam.json", "{u'username': u'Chaos', u'product_id': u'725280'}\n", {}, "Line 1 is no JSON object"),
    "Last.fm 360K": ("plays.tsv", "00000c2\t3bd73256\tbetty \"blowtorch\" x\t2137\n00000c2\tf2fb0ff0\tdie Ärzte\t1099\n00001d4\tf2fb0ff0\tdie Ärzte\t10\n", {}, "No line names the columns"),
    "Tianchi with digits for times": ("t.csv", "user_id,item_id,behavior_type,time\n1,2,3,20141206235959\n", {}, ({"user": "user_id", "item": "item_id", "feedback": "behavior_type", "time": "time"}, "1", "2", "2014-12-06")),
    "MIND behaviors": (
        "impressions.tsv", "1\tU13740\t11/11/2019 9:05:58 AM\tN55189 N42782\tN55689-1 N35729-0\n2\tU91836\t11/13/2019 6:11:30 PM\tN31739\tN20678-0 N39317-1\n", {},
        "candidates: 5}",
    ),
    "German Excel": (
        "Bestellungen.csv", "Kunde;Artikel;Datum;Menge;Bewertung\r\nMüller;Öl;09.01.2023 10:31;2;3,5\r\n".encode("cp1252"), {},
        ({"user": "Kunde", "item": "Artikel", "time": "Datum", "count": "Menge", "value": "Bewertung"}, "Müller", "Öl", "2023-01-09"),
    ),
    "Chinese in GB 18030": ("日志.csv", "用户,商品,时间\n张三,苹果手机,2024年1月2日\n李四,电脑,2024年1月3日\n".encode("gb18030"), {}, ({"user": "用户", "item": "商品", "time": "时间"}, "张三", "苹果手机", "2024-01-02")),
    "unknown names": ("log.csv", lines(header="who,what,stars,when"), {}, "--columns '{user: who, item: what, time: when, value: stars}'"),
    "an item alone is known": ("log.csv", lines(header="whoever,sku,at", form="{0}|{1}|{3}"), {}, "{user: whoever, item: sku, time: at}'. Where the log names no users"),
    "no users at all": ("log.csv", lines(header="whoever,sku", form="{0}|{1}"), {"columns": {"user": "none"}}, ({"item": "sku"}, None, "i0", None)),
    "a pattern": ("log.csv", "user,item,date\nu0,i0,2020.13.09\n", {"times": "%Y.%d.%m"}, ({**UI, "time": "date"}, *FIRST, "2020-09-13")),
    "bars within commas": (
        "log.csv", "user,item,candidates\n" + "".join(f"{u},{i},a|b|c|{i}\n" for u, i, *_ in EVENTS), {},
        (UI | {"candidates": "candidates"}, *FIRST, None),
    ),
    "commas within bars": ("log.txt", "user|item|title\na|x|One, two\nb|y|Three, four, five\n", {}, (UI, "a", "x", None)),
    "an index without a name": ("log.csv", ",user,item\n0,a,x\n1,b,y\n", {}, (UI, "a", "x", None)),
    "ids of letters and no header": ("log.csv", lines(form="{0}|{1}"), {}, "--columns '{user: 1, item: 2}'"),
    "quotes within tabs": ("log.tsv", 'user\titem\ttitle\na\tx\tHe said "no"\nb\ty\t"\n', {}, (UI, "a", "x", None)),
    "Zstandard": ("log.csv.zst", bytes(pa.compress(b"user,item\na,x\n", codec="zstd", asbytes=True)), {}, (UI, "a", "x", None)),
    "thousands or a decimal dot": (
        "log.csv", "user,item,value\na,x,1.299\nb,x,850\n", {}, "may be 1.299 or 1299; write it"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_variants(name, tmp_path):
    file, content, options, expected = VARIANTS[name]
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if isinstance(expected, str):
        with pytest.raises(DataError) as raised:
            read_tables(path, **options)
        assert expected in str(raised.value)
        return
    log = read_tables(path, **options).log
    first = log.events.row(0, named=True)
    time = first["time"] and str(first["time"].date())
    assert (dict(log.place.names), first["user"], first["item"], time) == expected
    assert log.place.form
