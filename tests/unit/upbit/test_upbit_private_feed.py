"""The account's own stream: a token of its own for each handshake, and no key that is not accepted goes unnoticed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import jwt
import pytest

from fakes import START_MS, FixedClock
from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.parse import parse_private_frame
from tickloop.adapters.upbit.private_events import MyAssetEvent
from tickloop.adapters.upbit.private_feed import UpbitPrivateFeed
from tickloop.errors import AuthError, RejectedError, UsageError
from tickloop.ports import Disconnected, Frame
from upbit_fakes import SECRET, FakeStream

ASSET = (
    b'{"type":"myAsset","asset_uuid":"a","assets":[{"currency":"KRW","balance":1.5,"locked":0}],'
    b'"asset_timestamp":1772600802110,"timestamp":1772600802131}'
)


def open_feed(url: str, types: tuple[str, ...] = ("myOrder", "myAsset"), **options: Any) -> UpbitPrivateFeed:
    arguments = {"first_delay_s": 0.01, **options}
    return UpbitPrivateFeed(url, Credentials("access", SECRET), types, FixedClock(), **arguments)


async def take(feed: UpbitPrivateFeed, count: int) -> list[Frame | Disconnected]:
    frames = cast("AsyncGenerator[Frame | Disconnected, None]", feed.frames())
    async with asyncio.timeout(10), aclosing(frames):
        return [await anext(frames) for _ in range(count)]


async def test_each_handshake_has_a_token_of_its_own() -> None:
    """At `/private`, signed with the secret; the subscription names no codes."""
    stream = FakeStream([[ASSET, "close"], [ASSET]])
    async with stream.listening() as url:
        items = await take(open_feed(url), 4)

    tokens = [headers["Authorization"].removeprefix("Bearer ") for _, headers in stream.handshakes]
    claims = [jwt.decode(token, SECRET, algorithms=["HS512"]) for token in tokens]
    assert {path for path, _ in stream.handshakes} == {"/websocket/v1/private"}
    assert [one["access_key"] for one in claims] == ["access", "access"]
    assert claims[0]["nonce"] != claims[1]["nonce"]
    assert "query_hash" not in claims[0]
    assert stream.requests[0][1:] == [{"type": "myOrder"}, {"type": "myAsset"}, {"format": "DEFAULT"}]
    assert [type(item) for item in items] == [Disconnected, Frame, Disconnected, Frame]
    assert items[0] == Disconnected(None, START_MS, "start")
    assert isinstance(parse_private_frame(items[1].raw), MyAssetEvent)  # type: ignore[union-attr]


async def test_orders_can_be_those_of_some_markets() -> None:
    """Assets never."""
    stream = FakeStream([[ASSET]])
    async with stream.listening() as url:
        await take(open_feed(url, markets=["KRW-BTC"]), 2)

    assert stream.requests[0][1:3] == [{"type": "myOrder", "codes": ["KRW-BTC"]}, {"type": "myAsset"}]


@pytest.mark.parametrize(
    "stream",
    [FakeStream(refuse_with=[401]), FakeStream([[b'{"error":{"name":"INVALID_AUTH","message":"m"}}']])],
    ids=["handshake", "message"],
)
async def test_key_that_is_not_accepted_ends_the_feed(stream: FakeStream) -> None:
    """Which of the two the exchange does is not documented; the secret shows in neither."""
    async with stream.listening() as url:
        with pytest.raises(AuthError, match="does not accept the API key") as caught:
            await take(open_feed(url), 2)

    assert SECRET not in str(caught.value)


async def test_refused_subscription_ends_the_feed() -> None:
    """Repeating it cannot mend it."""
    stream = FakeStream([[b'{"error":{"name":"WRONG_FORMAT","message":"m"}}']])
    async with stream.listening() as url:
        with pytest.raises(RejectedError, match="WRONG_FORMAT"):
            await take(open_feed(url), 2)


async def test_dead_connection_is_found_though_silence_is_right() -> None:
    """By its ping: nothing else would come for hours."""
    stream = FakeStream([[ASSET, "mute"], [ASSET]])
    async with stream.listening() as url:
        items = await take(open_feed(url, ping_interval_s=0.1, ping_timeout_s=0.05), 4)

    assert items[2].reason == "no answer to a ping within 0.05 s"  # type: ignore[union-attr]


def test_public_type_is_refused_by_name() -> None:
    """The private socket has two."""
    with pytest.raises(UsageError, match="message types trade: valid are myOrder, myAsset"):
        open_feed("ws://127.0.0.1:1", ("trade",))
