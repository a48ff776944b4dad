"""The emulators of AWS, started once for a worker where a test asks for them."""

from collections.abc import Iterator

import pytest

from tests import emulators, processes
from tests.processes import Server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    emulators.require_moto()
    with processes.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = emulators.require_ministack()
    with processes.ministack(tmp_path_factory.mktemp("ministack"), program) as server:
        yield server
