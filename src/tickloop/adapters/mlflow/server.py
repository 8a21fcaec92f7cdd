"""The cluster's place of the registry: an MLflow server that proxies the files, so that clients need no keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tickloop.adapters.mlflow import refusals
from tickloop.adapters.mlflow.client import import_quietly
from tickloop.errors import DataError, StoreError

if TYPE_CHECKING:
    from tickloop.adapters.mlflow.rest import ServerClient

_VERSION = re.compile(r"^(\d+)\.(\d+)\.\w+$")


class ServerPlace:
    """One server, asked with credentials of our own. It has no lock: whoever writes holds a `WindowLock`."""

    artifacts = None  # each experiment's files lie where the server puts them

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._user = user
        self._password = password
        self._ca_file = ca_file
        self._timeout_s = timeout_s

    def open(self) -> ServerClient:
        """Give a client, once it is known that an MLflow of ours answers there.

        Raises:
            MissingExtraError: MLflow's client is not installed.
            StoreAwayError: nothing answers.
            StoreError: something else does, or one that is too old; or the address cannot be one.
        """
        parts = urlsplit(self._url)
        if parts.scheme not in ("http", "https") or parts.hostname is None or parts.username is not None:
            raise StoreError(
                "mlflow.url is no address of a server; valid: http(s)://HOST:PORT, the user in mlflow.user"
            )
        if self._ca_file is not None and not self._ca_file.is_file():
            raise StoreError(
                f"mlflow.ca_file: {self._ca_file} is not a file; valid: the authority's certificate, as PEM"
            )
        rest = import_quietly(_rest)
        link = rest.Link(self._url, self._user, self._password, self._ca_file, self._timeout_s)
        said = link.request("GET", "/version")
        version = _VERSION.match(said.text.strip())
        if said.status_code != 200 or version is None:
            raise refusals.no_mlflow(link.server)
        if (int(version[1]), int(version[2])) < refusals.OLDEST_SERVER:
            raise refusals.too_old(link.server, version[0])
        client: ServerClient = rest.ServerClient(link, version[0])
        return client

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what MLflow itself says no to into ours: `DataError` for a value, else `StoreError`."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as exc:
            line = str(exc).partition("\n")[0]
            if exc.error_code == "INVALID_PARAMETER_VALUE":
                raise DataError(f"the model registry refused a value: {line}") from exc
            raise StoreError(f"the MLflow server at {self._url} refused: {line}; see its log") from exc

    def writing(self) -> AbstractContextManager[object]:
        return nullcontext()


def _rest() -> Any:
    from tickloop.adapters.mlflow import rest

    return rest
