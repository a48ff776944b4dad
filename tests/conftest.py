"""Hooks for all tests."""

import pytest

from tests import corpus


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("corpus"):
        corpus.require()
