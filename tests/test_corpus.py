"""Absent recordings: a skip that says why, or a failure where CI demands them."""

from pathlib import Path

import pytest

from tests import corpus


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv(corpus.WHERE, str(tmp_path))
    monkeypatch.delenv(corpus.REQUIRED, raising=False)
    return monkeypatch


def test_the_folder_is_the_one_that_the_environment_names(
    absent: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert corpus.folder() is None
    (tmp_path / "corpus" / "recordings").mkdir(parents=True)
    assert corpus.folder() == corpus.require() == tmp_path / "corpus"
    assert absent


def test_without_recordings_a_test_skips_with_a_reason(absent: pytest.MonkeyPatch) -> None:
    assert absent
    with pytest.raises(pytest.skip.Exception, match=corpus.WHERE):
        corpus.require()


def test_without_recordings_a_test_fails_where_they_are_required(
    absent: pytest.MonkeyPatch,
) -> None:
    absent.setenv(corpus.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match=corpus.REQUIRED):
        corpus.require()


@pytest.mark.corpus
def test_a_recording_knows_the_end_of_its_id() -> None:
    found = corpus.recordings("openai.chat")
    assert len(found) == len({recording.tail for recording in found}) == 205
    assert all(recording.id.endswith(f"-{recording.tail}") for recording in found)
