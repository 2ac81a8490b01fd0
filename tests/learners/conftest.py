import pytest

from tests.learners.training import bandit_run


@pytest.fixture(scope="module")
def bandit(tmp_path_factory):
    return bandit_run(tmp_path_factory.mktemp("run"))
