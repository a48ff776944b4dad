"""What the pass lane sees of a chat completion stream."""

import pytest

from core.dialects import openai_chat
from core.neutral import Usage, View
from tests.core.dialects.openai_chat_chunks import DONE, HEAD, USAGE, VIEW, chunk
from tests.core.dialects.wire import data, events


@pytest.mark.parametrize("asked", [True, False])
def test_the_watcher_hides_the_usage_that_only_we_asked_for(asked: bool):
    watcher = openai_chat.StreamWatcher(View(stream=True, usage_in_stream=asked))
    stream = data(
        chunk(content="a"),
        chunk(reason="stop"),
        {**chunk(), "usage": None},
        {**HEAD, "choices": [], "usage": USAGE},
    )
    seen = [watcher.see(event) for event in events(stream + DONE)]
    assert seen == [True, True, True, asked, True]
    assert watcher.usage == Usage(input_tokens=10, output_tokens=5)
    assert (watcher.complete, watcher.ended, watcher.error) == (True, True, None)


def test_the_watcher_does_not_take_an_end_marker_alone_for_an_answer():
    watcher = openai_chat.StreamWatcher(VIEW)
    assert [watcher.see(event) for event in events(DONE)] == [False]
    assert (watcher.complete, watcher.ended) == (False, False)


def test_a_whole_stream_lacks_only_the_end_marker():
    assert openai_chat.StreamWatcher(VIEW).ending() == DONE
