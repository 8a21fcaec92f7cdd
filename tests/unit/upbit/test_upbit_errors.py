"""Which error each name of the exchange becomes, and that none of them shows a key."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from tickloop.adapters.upbit.auth import Credentials
from tickloop.adapters.upbit.errors import error_of
from tickloop.errors import AuthError, BadRequestError, RejectedError, RetryableError, SettingsError
from tickloop.settings import ExchangeSettings, account_keys, load_settings, settings_text

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
