"""Which error each name of the exchange becomes, and that none of them shows a key."""

from __future__ import annotations

import base64
import json
import traceback
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import structlog
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tickloop.adapters.upbit import signed as signed_module
from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.errors import error_of, error_of_sent
from tickloop.adapters.upbit.orders import NewOrder
from tickloop.adapters.upbit.private import UpbitPrivate
from tickloop.domain.market import Side
from tickloop.entrypoints.process import configure_logging
from tickloop.errors import (
    AuthError,
    BadRequestError,
    ExchangeError,
    RejectedError,
    RetryableError,
    SettingsError,
    UnknownOutcomeError,
)
from tickloop.settings import ExchangeSettings, account_keys, load_settings, settings_text
from upbit_fakes import FastClock, listening

REFUSED = (
    "insufficient_funds_bid insufficient_funds_ask under_min_total_bid under_min_total_ask over_krw_funds_bid"
    " duplicated_identifier notfoundmarket withdraw_address_not_registered withdraw_address_not_registerd"
    " invalid_funds_bid volume_too_large market_does_not_exist open_api_withdraw_locked market_offline"
    " order_not_found pocket_not_found currency_not_found something_new"
)
OURS = (
    "create_bid_error create_ask_error invalid_parameter validation_error invalid_time_in_force invalid_post_only"
    " bad_request QUERY_PARAMETER_NOT_SUPPORTED invalid_price_bid invalid_price_ask invalid_volume_bid"
    " invalid_volume_ask invalid_query_payload nonce_used"
)
KEY = (
    "jwt_verification expired_access_key no_authorization_ip no_authorization_i_p no_authorization_token"
    " invalid_access_key out_of_scope thirdparty_agreement_required"
)
ACCESS = "also-not-shown-" + "a" * 25
SECRET = "never-shown-" + "k" * 28


def answer(name: str | int, message: str = "m") -> bytes:
    return json.dumps({"error": {"name": name, "message": message}}).encode()


@pytest.mark.parametrize(
    ("names", "kind"), [(REFUSED, RejectedError), (OURS, BadRequestError), (KEY, AuthError)], ids=["no", "bug", "key"]
)
def test_every_name_has_its_place_in_the_tree(names: str, kind: type[Exception]) -> None:
    for name in names.split():
        for status in (400, 401, 403, 404):
            error = error_of(status, answer(name), {})
            is_unauthorized = status == 401 and kind is RejectedError
            assert type(error) is (AuthError if is_unauthorized else kind), (name, status)


@pytest.mark.parametrize(
    ("status", "body", "kind", "wait_s"),
    [
        (429, b"Too many API requests.", RetryableError, 1.0),
        (429, answer("too_many_requests"), RetryableError, 1.0),
        (418, answer("too_many_requests"), RetryableError, 60.0),
        (500, answer("internal_server_error"), RetryableError, 1.0),
        (502, b"<html>", RetryableError, 1.0),
        (408, b"", RetryableError, 1.0),
    ],
)
def test_what_passes_may_be_repeated_after_a_while(
    status: int, body: bytes, kind: type[Exception], wait_s: float
) -> None:
    error = error_of(status, body, {})

    assert type(error) is kind
    assert isinstance(error, RetryableError)
    assert error.retry_after_s == wait_s
    assert error_of(status, body, {"Retry-After": "7"}).retry_after_s == 7.0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "message", ["Missing request parameter error. Check the required parameters!", "Type mismatch error."]
)
def test_quotation_errors_that_name_a_wrong_request_are_our_bug(message: str) -> None:
    assert type(error_of(400, answer(400, message), {})) is BadRequestError
    assert type(error_of(404, answer(404, "Code not found"), {})) is RejectedError


@pytest.mark.parametrize("name", f"{REFUSED} {OURS}".split())
def test_order_that_was_refused_by_name_does_not_exist(name: str) -> None:
    """Our own mistakes included; but an id or a nonce that was used before may mean that the order arrived."""
    error = error_of_sent(400, answer(name), {}, "order x")

    if name in ("duplicated_identifier", "nonce_used"):
        assert type(error) is UnknownOutcomeError
    else:
        assert isinstance(error, RejectedError)
        assert error.name == name


@pytest.mark.parametrize("name", KEY.split())
def test_order_that_was_refused_for_its_key_does_not_exist(name: str) -> None:
    assert type(error_of_sent(401, answer(name), {}, "order x")) is AuthError
    assert type(error_of_sent(403, answer(name), {}, "order x")) is AuthError


@pytest.mark.parametrize("status", [100, 204, 301, 307, 408, 500, 502, 503, 504, 599])
def test_answer_that_says_neither_done_nor_refused_leaves_an_order_unknown(status: int) -> None:
    for body in (b"", b"<html>", answer("internal_server_error"), answer("under_min_total_bid")):
        assert type(error_of_sent(status, body, {}, "order x")) is UnknownOutcomeError


@pytest.mark.parametrize("status", [429, 418])
@pytest.mark.parametrize("body", [b"Too many API requests.", answer("too_many_requests")])
def test_order_over_the_limit_does_not_exist(status: int, body: bytes) -> None:
    error = error_of_sent(status, body, {}, "order x")

    assert type(error) is RejectedError
    assert (error.name, error.status) == ("too_many_requests", status)


@given(st.integers(100, 599), st.binary(max_size=200), st.dictionaries(st.just("Retry-After"), st.text(max_size=20)))
def test_any_answer_becomes_one_of_our_errors(status: int, body: bytes, headers: dict[str, str]) -> None:
    assert isinstance(error_of(status, body, headers), ExchangeError)
    assert isinstance(error_of_sent(status, body, headers, "order x"), ExchangeError)


def every_trouble() -> list[tuple[int, bytes]]:
    names = f"{REFUSED} {OURS} {KEY}".split()
    troubles = [(400, answer(name)) for name in names] + [(401, answer("jwt_verification"))]
    return [*troubles, (201, b"{"), (307, b""), (418, b"no"), (429, b"no"), (500, b""), (0, b"")]


async def errors_of_every_call(trouble: tuple[int, bytes]) -> list[ExchangeError]:
    """Give what a read, a placement and a cancel raise; status 0 is a cut connection."""

    async def answer_all(request: web.Request) -> web.Response:
        status, body = trouble
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status or 200, body=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer_all)
    order = NewOrder("KRW-BTC", Side.BUY, "price", Decimal(6_000), identifier="tl-1")
    found: list[ExchangeError] = []
    async with listening(app) as url, UpbitPrivate(url, Credentials(ACCESS, SECRET), FastClock()) as account:
        for call in (lambda: account.place(order), lambda: account.cancel(uuid="u"), account.accounts):
            with pytest.raises(ExchangeError) as caught:
                await call()
            found.append(caught.value)
    return found


async def test_no_error_of_the_exchange_shows_a_key_nor_a_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not in its text, its traceback, its causes or its log line."""
    monkeypatch.setattr(signed_module, "_FIRST_DELAY_S", 0.0)
    configure_logging()
    try:
        for trouble in every_trouble():
            for error in await errors_of_every_call(trouble):
                structlog.get_logger().error("failed", error=repr(error), exc_info=error)
    finally:
        structlog.reset_defaults()
    text = capsys.readouterr().err

    assert text.count("[error") >= 3 * len(every_trouble())
    assert "Traceback" in text
    claims = msgspec.json.encode({"access_key": ACCESS})[:-1]
    for secret in (SECRET, ACCESS, "Bearer", base64.urlsafe_b64encode(claims).decode()[:24]):
        assert secret not in text


def test_no_text_shows_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a repr, a dump of the settings, an error about them, nor a traceback's last line."""
    monkeypatch.setenv("TICKLOOP_EXCHANGE__ACCESS_KEY", SECRET)
    monkeypatch.setenv("TICKLOOP_EXCHANGE__SECRET_KEY", SECRET)
    settings = load_settings(tmp_path)
    texts = [
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        settings_text(),
        repr(Credentials(SECRET, SECRET)),
    ]
    (tmp_path / "keys.json").write_text(json.dumps({"access_key": SECRET, "secret_key": [SECRET]}))
    (tmp_path / "keys.toml").write_text(f'access_key = "{SECRET}"\nsecret_key = {SECRET}\n')
    for name in ("keys.json", "keys.toml"):
        (tmp_path / name).chmod(0o600)
        with pytest.raises(SettingsError) as failure:
            account_keys(ExchangeSettings(keys_file=tmp_path / name))
        texts += [*traceback.format_exception(failure.value), str(failure.value)]
    assert all(SECRET not in text for text in texts)


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_keys_come_from_a_file_that_only_its_owner_reads(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"keys{suffix}"
    values = {"access_key": "a", "secret_key": "s"}
    path.write_text(json.dumps(values) if suffix == ".json" else 'access_key = "a"\nsecret_key = "s"\n')
    path.chmod(0o640)

    with pytest.raises(SettingsError, match=r"can be read by others \(mode 640\); valid: chmod 600"):
        account_keys(ExchangeSettings(keys_file=path))
    path.chmod(0o600)
    assert account_keys(ExchangeSettings(keys_file=path)) == ("a", "s")
