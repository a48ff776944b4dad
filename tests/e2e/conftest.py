"""The servers of these tests, started once for a worker."""

from collections.abc import Iterator

import pytest

from tests import corpus
from tests.e2e import stack
from tests.e2e.stack import Stack


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("corpus"):
        corpus.require()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack.running(tmp_path_factory.mktemp("stack")) as servers:
        yield servers
