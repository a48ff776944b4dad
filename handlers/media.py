"""Media by URL, brought before a request is sent to who reads no URLs."""

from collections.abc import Sequence

from core import fetching, plan
from core.media import MediaError, Wanted, path_of
from core.plan import Chat
from core.routing import Candidate
from handlers.exchange import Exchange


async def bring(exchange: Exchange, chat: Chat, wanted: Sequence[Wanted]) -> None:
    """400 that says where in the request the URL stands, and why it is of no use."""
    try:
        urls = tuple(dict.fromkeys(one.url for one in wanted))
        fetched = await exchange.services.fetch(urls)
        chat.media = {**chat.media, **fetching.opened(wanted, fetched)}
    except MediaError as error:
        error.param = path_of(chat.envelope, error.url)
        raise


def stand_in(chat: Chat, candidate: Candidate) -> None:
    """For an explanation: nothing is fetched, and a note stands where the bytes would be."""
    chat.media = {}
    wanted = plan.media_wanted(chat, candidate)
    chat.media = {one.url: fetching.note(one) for one in wanted}
