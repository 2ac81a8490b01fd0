"""A stage is done again for the code that it names, and for no other."""

import pytest

from lightrec.stages.stage import plugin_marks

FILES = {
    "__init__.py": "",
    "rewards.py": "from mine.maths import square\nfrom . import words\n",
    "maths.py": "import mine.deep.numbers\n",
    "deep/__init__.py": "",
    "deep/numbers.py": "ONE = 1\n",
    "words.py": "",
    "evaluators.py": "",
    "readers.py": "",
}


HOOKS = """
from lightrec.hookspecs import gives
lightrec_rewards = gives({"Calm": "mine.rewards:Calm"})
lightrec_evaluators = gives({"Calmness": "mine.evaluators:Calmness"})
lightrec_readers = gives({"ods": "mine.readers:Sheets"})
lightrec_domains = gives({"calm": "mine.evaluators:Domain"})
"""


POLICY = "{'data': {'init_args': {'reward': 'Calm', 'data': 'runs/calm/data'}}}"
EVALUATE = "{'evaluators': [{'class_path': 'mine.evaluators.Calmness'}]}"


@pytest.mark.parametrize(
    ("settings", "readers", "depends"),
    [
        (POLICY, False, {"rewards.py", "maths.py", "deep/numbers.py", "words.py", "__init__.py"}),
        (EVALUATE, False, {"evaluators.py"}),
        ("{'function': 'mine.words.count', 'reads': ['data']}", False, {"words.py"}),
        ("{'domain': 'calm'}", True, {"evaluators.py", "readers.py"}),
        ("{'domain': 'calmer', 'out': 'runs/calm/data'}", False, set()),
        ("{} ['--evaluators+=Calmness']", False, {"evaluators.py"}),
    ],
)
def test_only_what_a_stage_names_and_that_imports_counts(
    lightrec_plugins, settings, readers, depends
):
    package = lightrec_plugins.folder / "mine"
    (package / "deep").mkdir(parents=True)
    for name, text in FILES.items():
        (package / name).write_text(text)
    lightrec_plugins.add("mine", HOOKS)
    before = plugin_marks(settings, readers)
    assert set(before) <= {"mine"}
    changing = set()
    for name, text in FILES.items():
        (package / name).write_text(text + "# edited\n")
        if plugin_marks(settings, readers) != before:
            changing.add(name)
        (package / name).write_text(text)
    assert changing == depends
