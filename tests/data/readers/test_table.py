"""Tables in files: columns recognised, and each fault named with its line, or read as csv does."""

import csv
import gzip
import io
import json
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from lightrec.__main__ import main
from lightrec.api import DataError, Domain, InteractionLog, Problems, TextTable
from lightrec.data.findings import look_at
from lightrec.data.readers.base import read_tables
from lightrec.data.readers.columns import CATALOG_NAMES, likely_columns
from lightrec.data.readers.predictions import escaped, read_predictions, unescaped
from lightrec.data.readers.table import TableReader
from lightrec.errors import PluginError


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def problems_of(path, content, *columns):
    read = read_predictions if path.name == "predictions.csv" else TableReader().read
    with pytest.raises(DataError) as raised:
        read(write(path, content), *columns)
    assert str(raised.value).startswith(str(path))
    return raised.value.problems


def test_every_column_from_text(tmp_path):
    header = "user,item,time,feedback,value,count,session,impression,position,propensity,candidates"
    path = write(tmp_path / "log.csv", f"{header}\na,,2024-05-01,view,1,2,s,i,3,.5,x|y z\n")
    first = TableReader().read(path).log.events.drop("time").row(0)
    assert first == ("a", None, "view", 1.0, 2, "s", "i", 3, 0.5, ["x", "y z"])


@pytest.mark.parametrize(
    ("name", "values", "kinds"),
    [
        ("clicked", "1 0 0", ["click", "impression", "impression"]),
        ("clicked", "1 0 2", ["click", "click", "click"]),
        ("rating", "1 0 1", ["rating", "rating", "rating"]),
    ],
)
def test_rows_of_what_did_not_happen_are_no_events(name, values, kinds, tmp_path, capsys):
    lines = [f"{n % 2},{n},{value}" for n, value in enumerate(values.split(" "))]
    path = write(tmp_path / "log.csv", "\n".join([f"user,item,{name}", *lines]) + "\n")
    tables = read_tables(path, columns={"value": name})
    assert tables.log.events["feedback"].to_list() == kinds
    counts = look_at(tables, Domain()).counts
    assert counts["dropped_without_weight"] == kinds.count("impression")
    warned = "Every value of 'rating' is 0 or 1, and the 1 rows of 0 are events too."
    assert (warned in capsys.readouterr().err) == (name == "rating")


WRITTEN = ["a|b c", "a | b c", "a,b c", "a, b c", "['a', 'b c']", '["a", "b c"]', "[a, b c]"]
WRITTEN += ["'a','b c'", '"a" "b c"', "['a' 'b c']", "{a,b c}", "('a', 'b c')"]


@pytest.mark.parametrize("written", WRITTEN)
def test_candidates_are_ids_without_marks(written, tmp_path):
    rows = {"user": ["u", "v", "w"], "item": ["a", "b c", None], "candidates": [written] * 3}
    pl.DataFrame(rows).write_csv(tmp_path / "log.csv")
    log = TableReader().read(tmp_path / "log.csv").log
    assert log.events["candidates"].to_list() == [["a", "b c"]] * 3


def test_item_and_user_tables(tmp_path):
    items = write(tmp_path / "items.csv", "id,name,text,year\n1,One,,1995\n2,,Two,\n")
    rows = TableReader().read_items(items).rows.rows()
    assert rows == [("1", "One", None, 1995), ("2", None, "Two", None)]
    people = write(tmp_path / "users.csv", "age,user_id\n20,a\n")
    users = TableReader().read_users(people)
    assert users.rows.rows() == [("a", 20)]
    with pytest.raises(DataError, match="Line 3 has no item"):
        TableReader().read_items(write(items, "id,name\n1,One\n,Two\n"))


def test_the_context_of_a_log_without_users_belongs_to_whom_is_made_up(tmp_path):
    text = "item,reward,propensity,hour,session\nx,1,.5,9,s\ny,0,.5,10,s\nz,1,.25,17,\n"
    path = write(tmp_path / "log.csv", text)
    tables = TableReader().read(path, {"value": "reward"})
    assert tables.users.rows.rows() == [("session s", 9), ("row 3", 17)]
    assert tables.log.users().to_list() == ["session s", "session s", "row 3"]
    assert TableReader().read(write(path, "user,item,hour\na,x,9\n")).users is None


def test_the_title_is_the_fullest_column_of_names():
    dishes = {"nr": ["1", "2", "3"], "dish_name": ["Soup", "Pie", "Fish pie"]}
    dishes |= {"note": ["with warm bread", None, "of the day"], "brand_name": ["A", "A", "A"]}
    likely = likely_columns(pl.DataFrame(dishes), {}, CATALOG_NAMES)
    assert likely == {"item": "nr", "title": "dish_name"}


@pytest.mark.parametrize("user", ["a", "1"])
def test_a_column_has_one_role(user, tmp_path):
    problems = problems_of(tmp_path / "log.csv", "a,b\nx,1\n", {"user": user, "item": "a"})
    assert problems[0].startswith("The column 'a' is named as user and item; give each")


def test_named_columns_must_be_there(tmp_path):
    named = {"item": "sku", "price": "item"}
    assert problems_of(tmp_path / "log.csv", "user,item\na,x\n", named) == [
        "There is no column 'sku' (named as item); there are 'user', 'item'.",
        "'price' is none of the columns user, item, time, feedback, value, count, session, "
        "impression, position, propensity, candidates.",
    ]


# Without the time of day: workers that compress in different seconds must name the tests alike.
ZIPPED = gzip.compress(b"user,item\n" + b"a,x\n" * 1000, mtime=0)
QUOTED = b'user,item,value\n"a\n\nb","x\ny",1\nc,x,2\n"d\n",x,bad\n'
DEEP = '[1, "]", ' * 5000 + "1" + "]" * 5000
LONG = '{"item": 12345678901234567.0}\n{"item": "x"}\n'


def parquet(**columns):
    pl.DataFrame(columns).write_parquet(file := io.BytesIO())
    return file.getvalue()


PARQUET = parquet(user=["a"] * 50, item=["x"] * 50)
DAMAGED = PARQUET[:4] + b"\xff" * 40 + PARQUET[44:]
NESTED = parquet(user=[{"a": 1}], item=["x"], other=[{"b": 2}])
NOT_A_NUMBER = parquet(user=[1.0, float("nan")], item=[7, 8])
FAULTS = [
    (b"", ["The file is empty."]),
    (b"item,item\n1,2\n", ["The column 'item' is there 2 times; give each column a name"]),
    (b"\nuser,item\n", ["Line 1 is empty; delete it."]),
    (b"1,2,3.5\n4,5,6\n", ["No column was recognised as item; there are 1 (1), 2 (2), 3"]),
    (QUOTED, ["Line 7, column 'value': 'bad'"]),  # lines are counted over breaks in quotes
    (
        b"user,item,value,time\na,x,1,1714559400\nb,x,good,soon\nc,,1,1714559400\n",
        [
            "Line 3, column 'time': 'soon' is not a number of seconds since 1970; ",
            "Line 3, column 'value': 'good' is not a number between",
            "Line 4 has no item and no candidates",
        ],
    ),
    (b"user,item\na,x\nb\n", ["Line 3 has 1 field where 2 are expected"]),
    (b"user,item\na,x\n\n\nb,y\n", ["Lines 3 and 4 are empty; delete it."]),
    (
        "user,item\na,été\n".encode() + b"zo\xeb,y\n\xeb,z\n",
        ["Lines 3 and 4, column 'user': the byte 0xEB is not UTF-8 text. Convert the"],
    ),
    (b"user,item\na,x\0\n", ["Line 2 holds a NUL byte, which no text has."]),
    (b"user,item\na,x\rb,y\nc,z\n", ["Line 2 holds a second kind of line end"]),
    (b'user,item\na,"x\nb,y\n', ["Line 2 has a quote that is not closed, or one inside"]),
    (b"PAR1 and more", ["The file is a Parquet file, not plain text; name it with the"]),
    (b"user,item\n" + b"a" * 2_000_000, ["Line 2 is longer than 1,048,576 bytes"]),
    (ZIPPED, ["The file is compressed with gzip, not plain text"]),
]
FAULTS_OF_OTHER_FILES = [
    ("csv.gz", ZIPPED[:-9], "The gzip file ends too early; copy or download it again."),
    ("csv.gz", ZIPPED[:12] + b"\0\1\2" + ZIPPED[15:], "The gzip file is damaged"),
    ("jsonl", '{"item": 1}\n{"item"\n{"item": 2}\n[1]\n', "Lines 2 and 4 are no JSON object"),
    ("jsonl", f'{{"item": "a", "tags": {DEEP}}}\n', "Line 1 has values more than 50 levels"),
    # Ids of so many digits that a float does not hold them.
    ("jsonl", '{"item": 9007199254740993.0}\n', "Line 1, column 'item': 9007199254740992.0 is"),
    ("jsonl", LONG, "Line 1 has the number 12345678901234567.0 in a column of text"),
    ("parquet", b"", "The file is empty."),
    ("parquet", PARQUET[:-20], "The file cannot be read as Parquet"),
    ("parquet", DAMAGED, "The file cannot be read as Parquet"),
    ("parquet", NESTED, "Column 'user' has the Parquet type struct"),
    ("parquet", NOT_A_NUMBER, "Row 2, column 'user': nan is not an id"),
]
FAULTS_OF_PREDICTIONS = [
    ("user,item\n1,2\n", ["No column was recognised as score"]),
    ("user,item,score\n", ["There are no predictions."]),
    (
        "user,item,score\n1,2,nan\n1,3,good\n1,,1\n1,4,1\n1,4,2\n1,5,\n",
        [
            "Line 4 has no item.",
            "Lines 2, 3 and 7, column 'score': for example, 'nan' is not a finite number.",
            "Line 6 lists a user and an item that an earlier row lists too.",
        ],
    ),
    ("user,item,score\n1,2\n1,3,4\n", ["Line 2 has 2 fields where 3 are expected"]),
]


@pytest.mark.parametrize(
    ("name", "content", "problems"),
    [
        *(("log.csv", *fault) for fault in FAULTS),
        *((f"log.{ending}", what, [said]) for ending, what, said in FAULTS_OF_OTHER_FILES),
        *(("predictions.csv", *fault) for fault in FAULTS_OF_PREDICTIONS),
    ],
)
def test_faults_of_files_are_named(name, content, problems, tmp_path):
    sentences = problems_of(tmp_path / name, content)
    for sentence, expected in zip(sentences, problems, strict=True):
        assert sentence.startswith(expected)
        assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("encoding", "word", "read"),
    [
        ("cp1250", "kůň", "kùò"),
        ("cp1254", "güneş", None),
        ("cp1251", "Иванов", None),
        ("gb18030", "我爱北京天安门", "我爱北京天安门"),
        ("cp1252", "Müller “Größe”", "Müller “Größe”"),
    ],
)
def test_an_encoding_that_is_not_sure_is_refused_or_told(encoding, word, read, tmp_path, capsys):
    path = write(tmp_path / "log.csv", f"user,item\na,{word}\n".encode(encoding))
    if read is None:
        problem = problems_of(path, path.read_bytes())[0]
        assert "beyond doubt" in problem
        assert f"{word.split()[0]!r} in {encoding}" in problem
        return
    assert TableReader().read(path).log.events["item"].to_list() == [read]
    warned = f"{path} is not UTF-8 and is read as" in capsys.readouterr().err
    assert warned == ("Müller" not in word)


@pytest.mark.parametrize(
    "content",
    [
        b"user,item\r\na,x\r\nb,y\r\n",
        b"user,item\ra,x\rb,y\r",
        b"user,item\na,x\nb,y",
        b"\xef\xbb\xbfuser,item\na,x\nb,y\n\n\n",
        b'\xef\xbb\xbf"user","item"\r\n"a","x"\r\n"b","y"\r\n\r\n',
    ],
)
def test_line_ends_and_byte_order_marks(content, tmp_path):
    log = TableReader().read(write(tmp_path / "log.csv", content)).log
    assert log.events.select("user", "item").rows() == [("a", "x"), ("b", "y")]


def test_what_is_no_file(tmp_path, monkeypatch):
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "gone.csv")
    with pytest.raises(DataError, match=r"This is a link to .*gone\.csv, which does not exist"):
        TableReader().read(link)
    path = write(tmp_path / "log.csv", "user,item\na,x\n")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(DataError, match="may not be read; change its permissions"):
        TableReader().read(path)


def test_json_lines(tmp_path):
    path = write(tmp_path / "log.jsonl", '{"user": 1, "item": "x", "n": {"a": 1}}\n{"item": "y"}\n')
    log = TableReader().read(path).log
    assert log.events.select("user", "item").rows() == [("1", "x"), (None, "y")]
    assert log.place.form == "JSON lines, UTF-8"
    assert log.place.ignored == ("n",)
    long = '{"item": 12345678901234567}\n{"item": "x"}\n'
    items = TableReader().read(write(path, long)).log.events["item"]
    assert items.to_list() == ["12345678901234567", "x"]


@pytest.mark.parametrize("names", [("a", "b"), ("day=2024-05-01/a", "day=2024-05-02/b")])
def test_folders_of_parquet(names, tmp_path):
    folder = tmp_path / "log"
    for name, item in zip(names, "xy", strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"user": [1], "item": [item]}).write_parquet(folder / f"{name}.parquet")
    assert TableReader.recognises(folder)
    log = TableReader().read(folder, {"time": "day"} if "=" in names[0] else None).log
    assert log.events["item"].to_list() == ["x", "y"]
    assert log.place.form == "Parquet, 2 files"
    if "=" in names[0]:
        assert log.events["time"].dt.day().to_list() == [1, 2]
    pl.DataFrame({"user": [1], "sku": ["z"]}).write_parquet(folder / "c.parquet")
    with pytest.raises(DataError, match=r"has not the columns and types of"):
        TableReader().read(folder)


def test_what_returned_is_a_kind_of_feedback(tmp_path, capsys):
    path = write(tmp_path / "log.csv", "customer,stockcode,quantity\na,x,2\na,x,-1\n")
    events = TableReader().read(path).log.events
    assert events.select("feedback", "count").rows() == [("count", 2), ("return", 1)]
    lines = "customer,sku,event,qty\na,x,bought,2\na,x,Returned,-1\nb,x,storno,-3\nb,x,returned,1\n"
    path = write(tmp_path / "kinds.csv", lines)
    events = TableReader().read(path).log.events
    kinds = ["bought", "Returned", "storno", "returned"]
    assert events.select("feedback", "count").rows() == [*zip(kinds, [2, 1, 3, 1], strict=True)]
    path = write(tmp_path / "wrong.csv", f"{lines}c,x,bought,-1\nc,y,view,-2\nc,z,bought,-2\n")
    with pytest.raises(DataError, match=r"3 does not say so \(2 bought, 1 view\)"):
        TableReader().read(path)
    log = read_tables(path, skip_broken=str(tmp_path / "broken.csv")).log
    assert log.events.equals(events)
    assert "3 does not say so (2 bought, 1 view)" in capsys.readouterr().err


def test_an_impression_without_a_click_is_an_event_without_an_item(tmp_path):
    text = "user,shown\nu1,N1-1 N2-0 N3-1\nu2,N2-0 N1-0\n"
    log = TableReader().read_log(write(tmp_path / "log.csv", text), {"candidates": "shown"})
    assert log.events.select("user", "item", "candidates").rows() == [
        ("u1", "N1", ["N1", "N2", "N3"]),
        ("u1", "N3", ["N1", "N2", "N3"]),
        ("u2", None, ["N2", "N1"]),
    ]


CLEAN = "user,item,time,rating\n" + "".join(f"u{n},i{n},2025-01-0{n},{n}\n" for n in range(1, 8))
BROKEN = {3: "u9,i9", 5: "u9,,2025-01-01,1", 6: "u9,i9,yesterday,2", 8: "u9,i9,2025-01-01,five"}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_lines_that_cannot_be_used_are_left_out_and_kept_in_a_file(tmp_path, kind, capsys):
    lines = CLEAN.splitlines()
    for number, line in BROKEN.items():
        lines.insert(number - 1, line)
    if kind == "jsonl":
        rows = [dict(zip(lines[0].split(","), line.split(","), strict=False)) for line in lines]
        lines = [json.dumps({name: x or None for name, x in row.items()}) for row in rows[1:]]
        lines[1] = '{"user": '
    path, out = write(tmp_path / f"log.{kind}", "\n".join(lines) + "\n"), tmp_path / "broken.csv"
    clean = TableReader().read_log(write(tmp_path / "clean.csv", CLEAN)).events
    with pytest.raises(DataError, match="Line"):
        read_tables(path)
    log = read_tables(path, skip_broken=str(out)).log
    assert log.events.equals(clean)
    assert "4 of 11 lines cannot be used, and are left out" in capsys.readouterr().err
    broken = pl.read_csv(out)
    assert broken["line"].to_list() == [n - (kind == "jsonl") for n in BROKEN]
    assert broken["text"].to_list() == [lines[n - 1] for n in broken["line"]]
    for why, reason in zip(broken["why"], ("Line", "no item", "yesterday", "five"), strict=True):
        assert reason in why
    assert log.place.row(6) == ("Line 12" if kind == "csv" else "Line 11")
    read_tables(tmp_path / "clean.csv", skip_broken=str(out))
    assert not out.exists()
    write(path, "\n".join([*lines, *[lines[broken["line"][0] - 1]] * 4]) + "\n")
    with pytest.raises(DataError, match="8 of 15 lines cannot be used, too many to leave out"):
        read_tables(path, skip_broken=str(out))


ODD = """
from lightrec.data.readers.base import Reader

class Odd(Reader):
    name = "odd"

    @classmethod
    def recognises(cls, path):
        return path.suffix == ".odd" and path.undefined

    def read_log(self, path, columns=None):
        return [path]
"""
HOOKS = """
from lightrec.hookspecs import gives
lightrec_readers = gives({"Broken": "broken_reader:Broken", "Odd": "odd_reader:Odd"})
"""


def test_a_broken_reader_keeps_nobody_from_reading_and_an_odd_one_is_named(
    lightrec_plugins, tmp_path, capsys
):
    folder, log = lightrec_plugins.folder, tmp_path / "log.csv"
    (folder / "broken_reader.py").write_text("import no_such_module_here\n")
    (folder / "odd_reader.py").write_text(ODD)
    lightrec_plugins.add("readers", HOOKS)
    log.write_text("user,item\nu1,tea\n")
    assert len(read_tables(log).log) == 1
    assert "warning: broken_reader:Broken of readers" in capsys.readouterr().err
    odd = tmp_path / "log.odd"
    odd.touch()
    with pytest.raises(PluginError, match=r"^Odd of .* could not say whether it reads .*undefined"):
        read_tables(odd)
    with pytest.raises(PluginError, match=r"^Odd of .* read .*; expected are Tables with an"):
        read_tables(odd, reader="Odd")
    with pytest.raises(PluginError, match=r"^broken_reader:Broken of readers"):
        read_tables(log, reader="Broken")


def test_predictions_have_scores_or_ranks(tmp_path):
    path = write(tmp_path / "p.csv", "user,item,score\n1,007,.5\n1,8,-2\n")
    assert read_predictions(path).rows() == [("1", "007", 0.5), ("1", "8", -2.0)]
    pl.DataFrame({"user": [1, 1], "item": [7, 8], "rank": [1, 2]}).write_parquet(
        tmp_path / "p.parquet"
    )
    assert read_predictions(tmp_path / "p.parquet").rows() == [("1", "7", -1.0), ("1", "8", -2.0)]


def test_the_apostrophe_before_a_formula_is_taken_off_in_csv_alone(tmp_path):
    (tmp_path / "p.csv").write_text("user,item,score\n'=1+1,'-7,'-2\n'Til,8,1\n")
    assert read_predictions(tmp_path / "p.csv").rows() == [("=1+1", "-7", -2.0), ("'Til", "8", 1.0)]
    table = pl.DataFrame({"user": ["'=1"], "item": ["7"], "rank": [1]})
    table.write_parquet(tmp_path / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet").rows() == [("'=1", "7", -1.0)]


def test_formulas_get_an_apostrophe_and_nothing_else_does():
    titles = ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r1", "'=1", "'Til then", "a=1", ""]
    table = pl.DataFrame({"title": titles, "score": [-1.5] * len(titles)})
    marked = [f"'{title}" for title in titles[:7]]
    assert escaped(table)["title"].to_list() == [*marked, "'Til then", "a=1", ""]
    assert escaped(table)["score"].equals(table["score"])


@given(st.lists(st.text(st.sampled_from("'=+-@\t\ra\n\","), max_size=5), min_size=1))
def test_what_is_written_is_read_back(words):
    table = pl.DataFrame({"word": words, "row": range(len(words))})
    file = io.BytesIO()
    escaped(table).write_csv(file, quote_style="always")
    assert not any(line.startswith(b'"=') for line in file.getvalue().splitlines())
    read = pl.read_csv(file.getvalue(), schema=table.schema)
    assert unescaped(read).equals(table)


WHOLE = {
    "user": [f"u{n % 4}" for n in range(12)],
    "item": [n * 37 % 11 for n in range(12)],
    "value": [n % 5 + 1.0 for n in range(12)],
    "time": [1_600_000_000 + n for n in range(12)],
}
PIECES = [b"", b"\0", b'"', b'"\n"', b"\r", b"\n\n", b",,\t::|;", b",nan\n", b"\xff", b"soon"]
PIECES += [b"9" * 40]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@settings(max_examples=40, derandomize=True)
@given(start=st.integers(0, 2000), lost=st.integers(0, 9), piece=st.sampled_from(PIECES))
def test_broken_files_are_refused_or_read(kind, start, lost, piece, capfd):
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path, made = Path(folder) / f"log.{kind}", Path(folder) / "made"
        getattr(pl.DataFrame(WHOLE), f"write_{kind}")(path)
        whole = path.read_bytes()
        start %= len(whole)
        path.write_bytes(whole[:start] + piece + whole[start + lost :])
        log, problems, sentences = None, [], ""
        try:
            log = read_tables(path).log
        except DataError as error:
            problems, sentences = error.problems, str(error)
        assert len(problems) <= DataError.SHOWN
        assert log or str(path) in sentences
        capfd.readouterr()
        assert main(["data", "check", str(path)]) == (0 if log else 2)
        assert main(["data", "convert", str(path), str(made)]) == (0 if log else 2)
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err + printed.out
        assert "panicked" not in printed.err
        assert sentences in printed.err
        assert made.exists() == (log is not None)
        if log:
            # What was read fits the schema, for this checks it once more.
            assert InteractionLog(log.events).events.equals(log.events)
            assert read_tables(made).log.events.equals(log.events)


FIELDS = [b"a", b"", b" ", "é".encode(), b'"x"', b'"x,y"', b'"x""y"', b'""', b'"x\ny"', b'"x\r\ny"']
FAULTS = [b"", b"", b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"b"]
LETTERS = ["x", "y", "z"]


@st.composite
def texts(draw):
    """Some lines with a fault in one place."""
    row = st.tuples(*[st.sampled_from(FIELDS)] * 3)
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    text = end.join(b",".join(fields) for fields in draw(st.lists(row, min_size=1, max_size=5)))
    text += draw(st.sampled_from([b"", b"\n", b"\r\n\r\n", b"\n\n\n", b"b\n"]))
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(FAULTS)) + text[at:]


def as_csv_reads(text):
    try:
        letters = text.decode()
    except UnicodeDecodeError:
        letters = text.decode("cp1252")
    return list(csv.reader(io.StringIO(letters, newline="")))


@settings(max_examples=150, derandomize=True)
@given(text=texts())
@example(text=b"a,b,c\nb\n")
@example(text=b"a,b,c\n\nd,e,f")
@example(text=b"\na,b,c")
@example(text=b"\r\na,b,c")
def test_what_is_kept_and_where_it_stands(text, tmp_path):
    (tmp_path / "text").write_bytes(text)
    try:
        table = TextTable(tmp_path / "text", ",", names=LETTERS)
    except DataError as error:
        # A lone wrong byte beside UTF-8 may leave the encoding in doubt, which is refused.
        if "neither UTF-8 nor" not in str(error):
            raise
        reject()
    problems, sifted = Problems(), Problems()
    frame, place = table.read(LETTERS, problems)
    good, lines = table._sift(sifted)
    assert problems.sentences == sifted.sentences
    assert [place.row(row) for row in range(frame.height)] == [f"Line {n}" for n in lines]
    rows = [[value or "" for value in row] for row in frame.rows()]
    assert rows == as_csv_reads(bytes(good))
    if not problems:
        assert rows == as_csv_reads(text.rstrip(b"\r\n"))
