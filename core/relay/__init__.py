"""Realtime sessions: one client's WebSocket on one side, a provider's on the other.

What a driver does with a frame is decided here, and nothing here awaits. A frame is relayed
as it came: it is looked into, never written anew.

    session     what becomes of a frame, of time, of a close; usage, limits, transcript
    transcript  what was said, for whoever asked
    opening     what a refusal before the session means
    report      what the log says
    closing     close codes and reasons, what may be said on the wire, errors as codes
    events      the few events that we read or say ourselves
    queueing    how much may wait for a reader that is slow
    ordering    frames that arrive in any order, put back into the order they were sent in
    coalescing  deltas made one, or cut in several, where a transport counts or bounds messages
    replaying   a conversation told again to a new provider session, unheard by the client

A driver that has one ordered connection on each side needs neither of the last four.
"""
