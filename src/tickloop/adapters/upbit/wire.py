"""Where one WebSocket frame ends and the next begins. Pure: bytes and positions only.

The exchange sends thousands of small, whole, unmasked messages a second; those are cut out of what the socket gave
in one loop. Everything else (control frames, fragments, what breaks the protocol) is left to the protocol's library,
frame by frame.

Source: RFC 6455, section 5.2.
"""

from __future__ import annotations

_WHOLE = (0x81, 0x82)  # FIN set, no reserved bit; text or binary
SHORT = 125  # the longest payload whose length stands in the second byte
TWO_BYTES, EIGHT_BYTES = 126, 127
_MASKED = 0x80  # a server must not mask


def take_messages(data: bytes, at: int, into: list[bytes], most_bytes: int) -> int:
    """Append the payloads of whole data messages, from position `at` on; give the position after the last of them.

    It stops at the first frame that is not complete, no whole data message, or longer than `most_bytes`.
    """
    end = len(data)
    take = into.append
    while end - at >= 2 and data[at] in _WHOLE:
        size = data[at + 1]
        body = at + 2
        if size == TWO_BYTES and body + 2 <= end:  # nearly all of Upbit's messages; a number from a slice takes longer
            size = data[body] << 8 | data[body + 1]
            body += 2
        elif size == EIGHT_BYTES and body + 8 <= end:
            size = int.from_bytes(data[body : body + 8])
            body += 8
        elif size > SHORT:
            break
        next_at = body + size
        if next_at > end or size > most_bytes:
            break
        take(data[body:next_at])
        at = next_at
    return at


def frame_end(data: bytes, at: int, most_bytes: int) -> int | None:
    """Give the position after the frame that begins at `at`; None when it is not complete.

    For a frame that no server may send (masked, or a payload over `most_bytes`) it is the end of the data: the
    protocol ends the connection on reading its head.
    """
    end = len(data)
    if end - at < 2:
        return None
    size = data[at + 1]
    body = at + 2
    if size & _MASKED:
        return end
    if size > SHORT:
        body += 2 if size == TWO_BYTES else 8
        if body > end:
            return None
        size = int.from_bytes(data[at + 2 : body])
    if size > most_bytes:
        return end
    return body + size if body + size <= end else None
