"""The MLflow client of one server, with credentials, time-outs and retries of its own.

MLflow's own client takes these from environment variables, one set for a whole process, and repeats every request
seven times by default, those too that make something. Here they are plain arguments: a read may be repeated, a write
never (its answer may be lost: whoever calls again looks first).

Imports MLflow: to be imported when a server is opened.
"""

# mypy: disallow-untyped-calls=False
# MLflow's own classes, which this file extends, are typed in part only.

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
from mlflow.store.model_registry.rest_store import RestStore as RegistryStore
from mlflow.store.tracking.rest_store import RestStore as TrackingStore
from mlflow.tracking._model_registry.client import ModelRegistryClient
from mlflow.tracking._tracking_service.client import TrackingServiceClient
from mlflow.utils.proto_json_utils import parse_dict
from mlflow.utils.rest_utils import MlflowHostCreds, http_request, verify_rest_response

from tickloop.adapters.mlflow import refusals
from tickloop.errors import StoreAwayError

_READ_RETRIES = 2
_BACKOFF_S = 0.2  # before the second repeat, doubled each time; the first one follows at once
_FILES = "/api/2.0/mlflow-artifacts/artifacts"
_BUSY = frozenset({429, 502, 503, 504})


class Link:
    """Requests to one server. Each ends within `timeout_s`, a read within three times that and a second."""

    def __init__(
        self, url: str, user: str | None, password: str | None, ca_file: Path | None, timeout_s: float
    ) -> None:
        self.url = url
        self.server = f"the MLflow server at {url}"
        self.where = MlflowHostCreds(url, server_cert_path=None if ca_file is None else str(ca_file))
        self._credentials = None if user is None else (user.encode(), (password or "").encode())
        self._timeout_s = timeout_s

    def request(self, method: str, endpoint: str, **content: Any) -> requests.Response:
        """Give the answer, if it is one that MLflow gives.

        Raises:
            StoreAwayError: no answer, or the server is overloaded.
            StoreError: refused before MLflow looked at it.
        """
        is_read = method == "GET" or endpoint.endswith("/search")
        try:
            response: requests.Response = http_request(
                self.where,
                endpoint,
                method,
                max_retries=_READ_RETRIES if is_read else 0,
                backoff_factor=_BACKOFF_S,
                backoff_jitter=_BACKOFF_S,
                retry_codes=_BUSY if is_read else (),
                raise_on_status=False,
                respect_retry_after_header=False,
                timeout=self._timeout_s,
                # Given by hand, so that no `.netrc` of the machine takes its place.
                auth=self._credentials or _no_credentials,
                **content,
            )
        except MlflowException as exc:
            raise refusals.from_exception(self.server, exc) from exc
        refusal = refusals.from_status(self.server, response.status_code, response.text)
        if refusal is not None:
            raise refusal
        return response

    def call(self, method: str, endpoint: str, message: str | None, reply: Any) -> Any:
        """Send a message of MLflow's protocol and read the reply into `reply`; `MlflowException` if it is refused."""
        body = json.loads(message or "{}")
        content = {"params": body} if method == "GET" else {"json": body}
        response = self.request(method, endpoint, **content)
        try:
            said = response.json()
            if not isinstance(said, dict):
                raise refusals.no_mlflow(self.server)
            verify_rest_response(response, endpoint)
            parse_dict(said, reply)
        except (ParseError, requests.JSONDecodeError) as exc:
            raise refusals.no_mlflow(self.server) from exc
        return reply


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class ServerClient(MlflowClient):
    """MLflow's client whose requests, files included, all go through one link."""

    def __init__(self, link: Link, version: str) -> None:
        super().__init__(link.url, link.url)
        self.server = link.server
        self.version = version
        self._link = link
        self._tracking_client = _Tracking(link)
        self._registry_client_lazy = _Registry(link)

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        """Put all files of a folder, each whole."""
        target = self._files_of(run_id)
        for path in sorted(Path(local_dir).iterdir()):
            endpoint = "/".join(filter(None, (target, artifact_path, quote(path.name))))
            headers = {"Content-Type": "application/octet-stream"}
            response = self._link.request("PUT", endpoint, data=path.read_bytes(), extra_headers=headers)
            verify_rest_response(response, "the file store")

    def download_artifacts(self, run_id: str, path: str, dst_path: str | None = None) -> str:
        """Get one file into a folder and give its path there; `MlflowException` when there is none."""
        files = self._files_of(run_id)
        try:
            response = self._link.request("GET", f"{files}/{quote(path)}")
        except StoreAwayError:
            # On S3 a file that is not there is a failure of the server (500), as if S3 were away. A listing tells.
            if self._is_listed(files, path):
                raise
            raise MlflowException("the server has no such file") from None
        if response.status_code != 200:
            raise MlflowException(f"the server has no such file (status {response.status_code})")
        local = Path(dst_path or ".") / Path(path).name
        local.write_bytes(response.content)
        return str(local)

    def _is_listed(self, files: str, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        where = f"{files.removeprefix(_FILES)}/{folder}".strip("/")
        listed = self._link.request("GET", _FILES, params={"path": where}).json()
        return name in [Path(file["path"]).name for file in listed.get("files", [])]

    def delete_artifacts(self, run_id: str, path: str) -> None:
        """Delete one file for good."""
        verify_rest_response(self._link.request("DELETE", f"{self._files_of(run_id)}/{quote(path)}"), "the file store")

    def _files_of(self, run_id: str) -> str:
        location = self.get_run(run_id).info.artifact_uri
        if not location.startswith("mlflow-artifacts:"):
            raise refusals.not_proxied(self._link.server, location)
        # Only the path: what is asked is always the server of the settings.
        address = MlflowArtifactsRepository.resolve_uri(location, "http://server")
        return str(address.removeprefix("http://server"))


class _Tracking(TrackingServiceClient):
    def __init__(self, link: Link) -> None:
        self._own = _TrackingStore(link)
        super().__init__(link.url)

    @property
    def store(self) -> TrackingStore:
        return self._own

    def _log_url(self, run_id: str) -> None:
        """Say nothing: MLflow prints the run's page on stdout, where a command prints its result."""


class _Registry(ModelRegistryClient):
    def __init__(self, link: Link) -> None:
        self._own = _RegistryStore(link)
        super().__init__(link.url, link.url)

    @property
    def store(self) -> RegistryStore:
        return self._own


class _TrackingStore(TrackingStore):
    def __init__(self, link: Link) -> None:
        super().__init__(lambda: link.where)
        self._link = link

    def _call_endpoint(
        self,
        api: Any,
        json_body: Any = None,
        endpoint: Any = None,
        retry_timeout_seconds: Any = None,  # noqa: ARG002 (Databricks alone)
        response_proto: Any = None,
    ) -> Any:
        path, method = self._METHOD_TO_INFO[api]
        return self._link.call(method, endpoint or path, json_body, response_proto or api.Response())


class _RegistryStore(RegistryStore):
    def __init__(self, link: Link) -> None:
        super().__init__(lambda: link.where)
        self._link = link

    def _call_endpoint(
        self,
        api: Any,
        json_body: Any,
        call_all_endpoints: Any = False,  # noqa: ARG002 (for servers of 2019)
        extra_headers: Any = None,  # noqa: ARG002 (Databricks alone)
    ) -> Any:
        path, method = self._get_endpoint_from_method(api)
        return self._link.call(method, path, json_body, self._get_response_from_method(api))
