"""The golden fixtures: what the code makes of each is what is stored beside it."""

from pathlib import Path

import pytest

from tests import golden

FOLDERS = golden.folders()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_golden_case_comes_out_as_it_is_stored(folder: Path):
    stored = {name: golden.read(folder, name) for name in golden.GOLDEN}
    assert golden.make(folder) == {name: text for name, text in stored.items() if text is not None}


def test_no_fixture_is_left_over():
    inputs = ("client.request.json", "upstream.reply.json", "upstream.chunks.txt")
    known = {*golden.GOLDEN, *inputs, "upstream.status.txt"}
    files = [path for path in golden.FOLDER.rglob("*") if path.is_file()]
    assert {path.name for path in files} <= known
    assert {path.parent for path in files} == set(FOLDERS)


def test_every_request_that_goes_upstream_has_an_answer():
    for folder in FOLDERS:
        answers = [
            name for name in ("reply.json", "chunks.txt") if (folder / f"upstream.{name}").exists()
        ]
        refused = (folder / "client.error.json").exists()
        assert len(answers) == (0 if refused else 1), folder.name


def test_rewriting_changes_nothing_that_is_up_to_date():
    assert [name for folder in FOLDERS for name in golden.rewrite(folder)] == []


def test_rewriting_writes_what_is_missing_and_removes_what_is_stale(tmp_path: Path):
    source = golden.FOLDER / "openai_chat" / "audio-refused"
    case = tmp_path / "openai_chat" / "audio-refused"
    case.mkdir(parents=True)
    request = (source / "client.request.json").read_bytes()
    (case / "client.request.json").write_bytes(request)
    (case / "client.reply.json").write_text("stale")
    assert golden.rewrite(case) == ["client.reply.json", "client.error.json"]
    assert {path.name for path in case.iterdir()} == {"client.request.json", "client.error.json"}
