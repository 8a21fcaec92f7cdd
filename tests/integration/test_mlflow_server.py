"""A real MLflow server that asks for a password: what it refuses, what we say, and its going and coming back."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import socket
import ssl
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fakes import FixedClock
from servers import Server, running
from tickloop.adapters.mlflow.probe import check_mlflow
from tickloop.adapters.mlflow.registry import MlflowRegistry
from tickloop.adapters.mlflow.server import ServerPlace
from tickloop.errors import DataError, StoreAwayError, StoreError

USER, PASSWORD = "operator", "correct-horse-battery"
SECONDS = 30.0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own that asks for user and password."""
    with pytest.MonkeyPatch.context() as patch:
        for shared in ("TICKLOOP_TEST_POSTGRES", "TICKLOOP_TEST_S3"):
            patch.delenv(shared, raising=False)  # its records and files lie in its own folder, where tests look at them
        patch.setenv("TICKLOOP_MLFLOW_USER", USER)
        patch.setenv("TICKLOOP_MLFLOW_PASSWORD", PASSWORD)
        with running("mlflow", tmp_path_factory.mktemp("mlflow-guarded")) as server:
            yield server


def registry_at(url: str, password: str | None = PASSWORD) -> MlflowRegistry:
    return MlflowRegistry(ServerPlace(url, user=USER, password=password, timeout_s=SECONDS), FixedClock())


@pytest.mark.server
def test_two_instances_of_one_process_each_use_their_own_password(guarded: Server) -> None:
    """None takes what another was given, nor what the machine keeps elsewhere; no text holds the password."""
    right, wrong = registry_at(guarded.address), registry_at(guarded.address, "wrong-horse-battery")
    nobody = MlflowRegistry(ServerPlace(guarded.address), FixedClock())

    assert right.versions("KRW-BTC") == []
    for refused in (wrong, nobody):
        with pytest.raises(
            StoreError, match=r"did not accept the user; valid: mlflow\.user and mlflow\.password"
        ) as told:
            refused.versions("KRW-BTC")
        assert "horse" not in repr(told.value)
        assert not isinstance(told.value, StoreAwayError)
    assert right.versions("KRW-BTC") == []


@pytest.mark.server
def test_probe_writes_reads_back_and_deletes(guarded: Server) -> None:
    """It leaves no run and no file."""
    place = ServerPlace(guarded.address, user=USER, password=PASSWORD)

    told = check_mlflow(place)

    client = place.open()
    assert told == f"MLflow {client.version}: run and file written, read back, deleted"
    experiment = client.get_experiment_by_name("tickloop.doctor")
    assert list(client.search_runs([experiment.experiment_id])) == []
    assert [path for path in (guarded.folder / "artifacts").rglob("*") if path.is_file()] == []


@pytest.mark.server
def test_host_name_that_the_server_does_not_know_is_named(guarded: Server) -> None:
    """MLflow answers 403 to it, as it does to a user without rights."""
    url = guarded.address.replace("127.0.0.1", "localhost")

    with pytest.raises(StoreError, match=r"refused the host name in mlflow\.url.*--allowed-hosts"):
        registry_at(url).versions("KRW-BTC")


@pytest.mark.server
def test_https_to_a_server_without_tls_is_named(guarded: Server) -> None:
    """Not as a server that is away."""
    with pytest.raises(StoreError, match=r"speaks no TLS.*valid: mlflow\.ca_file"):
        registry_at(guarded.address.replace("http:", "https:")).versions("KRW-BTC")


@pytest.mark.server
def test_server_that_was_away_serves_the_same_registry_again(guarded: Server) -> None:
    """One instance lives through it: calls fail as `StoreAwayError` at once, and then succeed."""
    registry = registry_at(guarded.address)
    files = {"model.json": b"{}"}
    made = registry.register("KRW-ETH", "ridge", files, params={}, metrics={}, lineage={})
    guarded.stop()
    try:
        for call in (lambda: registry.versions("KRW-ETH"), lambda: registry.log_metrics(made, {"mae_bp": 1.0})):
            with pytest.raises(StoreAwayError, match=r"cannot be reached: .*refused.*valid: mlflow\.url"):
                call()
        with pytest.raises(StoreAwayError, match="cannot be reached"):
            registry_at(guarded.address).champion("KRW-ETH")
    finally:
        guarded.start()

    assert registry.versions("KRW-ETH") == [made]
    assert registry.files(made) == files


@pytest.mark.server
def test_file_that_the_server_lost_or_changed_is_refused(guarded: Server) -> None:
    """The message names version, market and file."""
    registry = registry_at(guarded.address)
    made = registry.register("KRW-XRP", "ridge", {"booster.txt": b"tree"}, params={}, metrics={}, lineage={})
    (path,) = [one for one in (guarded.folder / "artifacts").rglob("booster.txt") if one.read_bytes() == b"tree"]

    path.write_bytes(b"TREE")
    with pytest.raises(DataError, match=r"model ridge-1 of KRW-XRP: file booster\.txt has changed: its sha256"):
        registry.files(made)
    path.unlink()
    with pytest.raises(DataError, match=r"model ridge-1 of KRW-XRP: file booster\.txt cannot be read"):
        registry.files(made)


class _Answers(http.server.BaseHTTPRequestHandler):
    status, content = 200, b""

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(status: int, content: bytes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve one answer to everything and give the address."""
    handler = type("Answers", (_Answers,), {"status": status, "content": content})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (200, b"<html>welcome</html>", "does not answer as MLflow does; valid: mlflow.url"),
        (404, b"<html>not here</html>", "does not answer as MLflow does; valid: mlflow.url"),
        (200, b"2.22.1", "is MLflow 2.22.1, too old for us; valid: mlflow.url of 3.0 or newer"),
        (200, b"3.17.2", "does not answer as MLflow does; valid: mlflow.url"),  # a version, then nothing of the kind
    ],
)
def test_server_that_is_no_mlflow_of_ours_is_named(status: int, content: bytes, words: str) -> None:
    """At once, by its answers."""
    with answering(status, content) as url, pytest.raises(StoreError) as told:
        registry_at(url).versions("KRW-BTC")

    assert words in str(told.value)
    assert url in str(told.value)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_server_that_is_overloaded_may_be_asked_again(status: int) -> None:
    """Its own failures count as such too: its database may be away."""
    with answering(status, b"{}") as url, pytest.raises(StoreAwayError, match=rf"status {status}"):
        registry_at(url).versions("KRW-BTC")


def test_server_that_says_nothing_is_given_up_after_the_time_set() -> None:
    """The message names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = ServerPlace(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.05)
        with pytest.raises(StoreAwayError, match=r"did not answer in time; more time: mlflow\.timeout_s"):
            place.open()


def test_certificate_is_checked_against_the_authority_that_is_set(tmp_path: Path) -> None:
    """Unknown, it is refused; the message names both settings."""
    ca_file, tls = certificate(tmp_path)
    with answering(200, b"3.17.2", tls) as url:
        with pytest.raises(
            StoreError, match=r"no certificate that we trust.*valid: mlflow\.ca_file.*mlflow\.url"
        ) as told:
            ServerPlace(url).open()
        assert not isinstance(told.value, StoreAwayError)

        assert ServerPlace(url, ca_file=ca_file).open().version == "3.17.2"


@pytest.mark.parametrize("url", ["127.0.0.1:5000", "ftp://host", "http://", "http://user:secret@127.0.0.1:1"])
def test_address_that_cannot_be_one_is_named_without_what_it_holds(url: str) -> None:
    """It might hold a password."""
    with pytest.raises(
        StoreError, match=r"mlflow\.url is no address of a server; valid: http\(s\)://HOST:PORT"
    ) as told:
        ServerPlace(url).open()

    assert "secret" not in str(told.value)


def test_certificate_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(StoreError, match=r"mlflow\.ca_file: .*absent\.pem is not a file"):
        ServerPlace("https://127.0.0.1:1", ca_file=tmp_path / "absent.pem").open()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate of 127.0.0.1 that signs itself, valid for a century."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(uuid.UUID(int=1).int)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "server.pem", folder / "server.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context
