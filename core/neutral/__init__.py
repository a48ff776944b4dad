"""The neutral form: what every dialect is parsed to and rendered from.

A request is a tuple of messages made of parts. A reply is a stream of deltas;
a whole reply is that stream folded, a fake stream is a whole reply unfolded.
Values whose exact bytes matter (tool arguments, JSON schemas, numbers,
signatures) stay as they were written.
"""

from core.neutral.answer import (
    Choice,
    CitationDelta,
    Delta,
    Ended,
    Failed,
    Finished,
    FinishReason,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    Usage,
    UsageDelta,
    View,
)
from core.neutral.facts import (
    Facts,
    Quirks,
)
from core.neutral.folding import (
    Step,
    fold,
    tool_as_text,
    unfold,
)
from core.neutral.parts import (
    Citation,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from core.neutral.request import (
    Message,
    Rendered,
    Request,
    Role,
    Schema,
    Thinking,
    Tool,
    ToolChoice,
)

__all__ = [
    "Choice",
    "Citation",
    "CitationDelta",
    "Delta",
    "Ended",
    "Facts",
    "Failed",
    "FinishReason",
    "Finished",
    "Media",
    "MediaDelta",
    "Message",
    "Part",
    "Quirks",
    "Reasoning",
    "ReasoningDelta",
    "Refusal",
    "RefusalDelta",
    "Rendered",
    "Reply",
    "Request",
    "Role",
    "Schema",
    "Started",
    "Step",
    "Text",
    "TextDelta",
    "Thinking",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStarted",
    "ToolChoice",
    "ToolResult",
    "Usage",
    "UsageDelta",
    "View",
    "fold",
    "tool_as_text",
    "unfold",
]
