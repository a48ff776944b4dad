"""Support for the tests of the operator's commands: places, documents, a command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner

from core.ports import Document
from handlers.cli import cli
from handlers.places import Place
from tests.fakes import FakeStore

KEY = "cw_dev_0123456789abcdef0123456789abcdef"
OPENAI = {"type": "openai", "name": "main", "secret": "sk-sentinel-0123456789abcd"}


class FakeSecrets:
    """core.ports.Secrets in a dict."""

    def __init__(self, **documents: bytes) -> None:
        self.documents = dict(documents)

    async def read(self, org: str) -> Document | None:
        body = self.documents.get(org)
        return None if body is None else Document(body, "1")

    async def write(self, org: str, body: bytes) -> None:
        self.documents[org] = body

    async def delete(self, org: str) -> None:
        self.documents.pop(org, None)

    async def names(self) -> list[str]:
        return sorted(self.documents)

    async def close(self) -> None:
        return


def place(**changes: Any) -> Place:
    return Place(**{"store": FakeStore(), "secrets": FakeSecrets(), **changes})


def counting() -> Callable[[int], bytes]:
    """Random bytes that come again at every run, and never twice in one."""
    number = iter(range(1, 256))
    return lambda size: bytes([next(number)]) * size


def document(**fields: Any) -> dict[str, Any]:
    return {"name": "acme", "endpoints": [OPENAI], **fields}


class CommandLine:
    """Commands on the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"

    def file(self, name: str, content: Any) -> str:
        path = self.folder / name
        body = content if isinstance(content, bytes) else msgspec.json.encode(content)
        path.write_bytes(body)
        return str(path)

    def run(
        self, *arguments: str, answer: str | None = None, environment: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        found = CliRunner().invoke(
            cli,
            [*arguments, "--data", str(self.data)],
            input=answer,
            env=environment,
            catch_exceptions=False,
        )
        return found.exit_code, found.stdout, found.stderr

    def good(self, *arguments: str, **more: Any) -> str:
        code, out, err = self.run(*arguments, **more)
        assert code == 0, (out, err)
        return out

    def json(self, *arguments: str, **more: Any) -> Any:
        return msgspec.json.decode(self.good(*arguments, "--json", **more))

    def bad(self, *arguments: str, **more: Any) -> str:
        """The one line that says what is wrong."""
        code, out, err = self.run(*arguments, **more)
        assert (code, out) == (2, "")
        assert err.startswith("cutwater: ")
        assert err.count("\n") == 1
        assert "sentinel" not in err
        return err

    def apply(self, **fields: Any) -> str:
        return self.good("org", "apply", self.file("acme.json", document(**fields)))

    def key(self, *more: str) -> dict[str, Any]:
        found: dict[str, Any] = self.json("key", "create", "--org", "acme", "--name", "ci", *more)
        return found
