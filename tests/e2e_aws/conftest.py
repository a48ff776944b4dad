"""The servers of these tests, started once for a worker."""

from collections.abc import Iterator

import pytest

from tests.e2e_aws import stack
from tests.e2e_aws.stack import Deployed


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with stack.running(tmp_path_factory.mktemp("stack")) as found:
        yield found
