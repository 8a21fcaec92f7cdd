"""What an MLflow server's no means, and what to do about it: the one place that knows."""

from __future__ import annotations

import json
from contextlib import suppress

from tickloop.errors import StoreAwayError, StoreError

OLDEST_SERVER = (3, 0)  # what we speak (aliases, proxied files, `/version`) is there since; tested with 3.17


def from_status(server: str, status: int, text: str) -> StoreError | None:
    """Give the error that an answer stands for; None where MLflow itself says what was wrong with the request."""
    if status == 401:
        return StoreError(
            f"{server} did not accept the user; valid: mlflow.user and mlflow.password as the server knows them"
        )
    if status == 403 and "Host header" in text:
        return StoreError(
            f"{server} refused the host name in mlflow.url; valid: one that the server was started with,"
            " host and port (--allowed-hosts)"
        )
    if status == 403:
        return StoreError(
            f"{server} does not let the user do this; valid: a mlflow.user who may edit experiments and models"
        )
    if status in (408, 429, 502, 503, 504):
        return StoreAwayError(f"{server} is overloaded or not ready (status {status}); it is asked again later")
    if status >= 500:
        return StoreAwayError(
            f"{server} failed (status {status}): {_line(text)}; see its log: its database or its file store may be away"
        )
    return None


def from_exception(server: str, exc: BaseException) -> StoreError:
    """Give the error for a request that had no answer."""
    from requests import exceptions
    from urllib3.exceptions import ReadTimeoutError

    seen: BaseException | None = exc
    while seen is not None and not isinstance(seen, exceptions.RequestException):
        seen = seen.__cause__ or seen.__context__
    # Below it lies what the last of the retries met.
    reason = getattr(seen.args[0], "reason", None) if seen is not None and seen.args else None
    words = _line(str(reason or seen or exc).rpartition("): ")[2])
    if isinstance(seen, exceptions.SSLError):
        return StoreError(
            f"{server} has no certificate that we trust, or speaks no TLS: {words}; valid: mlflow.ca_file names the"
            " authority's certificate, and mlflow.url the name in the server's, or http:// where TLS is off"
        )
    if isinstance(seen, exceptions.Timeout) or isinstance(reason, ReadTimeoutError):
        return StoreAwayError(f"{server} did not answer in time; more time: mlflow.timeout_s")
    if isinstance(seen, exceptions.ConnectionError):
        return StoreAwayError(f"{server} cannot be reached: {words}; valid: mlflow.url of a server that runs")
    return StoreError(f"{server} cannot be asked: {words}; valid: mlflow.url http(s)://HOST:PORT")


def no_mlflow(server: str) -> StoreError:
    return StoreError(f"{server} does not answer as MLflow does; valid: mlflow.url of an MLflow server, with its path")


def too_old(server: str, version: str) -> StoreError:
    oldest = ".".join(map(str, OLDEST_SERVER))
    return StoreError(f"{server} is MLflow {version}, too old for us; valid: mlflow.url of {oldest} or newer")


def not_proxied(server: str, location: str) -> StoreError:
    scheme = location.partition(":")[0]
    return StoreError(
        f"{server} wants files put to {scheme}: by ourselves; valid: an mlflow.url of a server started with"
        " --serve-artifacts and --artifacts-destination, and experiments made there since"
    )


def _line(text: str) -> str:
    """Give the first line, of MLflow's JSON that of its message."""
    with suppress(ValueError):
        said = json.loads(text)
        text = str(said.get("message", text)) if isinstance(said, dict) else text
    return text.strip().partition("\n")[0][:300]
