"""What a model made that the client's format has no place for, told in words.

And what it could not make: most formats know only answers that are complete.

An answer without its picture is worth more than an error, but nobody may take
it for whole.
"""

from core.errors import UpstreamError
from core.neutral import Media

UNFINISHED = "The model could not finish its answer."


def unfinished() -> UpstreamError:
    """For the reason `error`, where a format has no word for it: never a whole answer."""
    return UpstreamError(UNFINISHED)


def told(media: Media) -> str:
    if media.url is not None:
        return f"{'!' if media.kind == 'image' else ''}[{media.kind}]({media.url})"
    what = f"{media.kind} ({media.media_type})" if media.media_type else media.kind
    return f"[The model made: {what}. This format has no place for it.]"
