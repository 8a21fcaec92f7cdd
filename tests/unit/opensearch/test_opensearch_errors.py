"""What the server and its client say, in our words."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opensearchpy.exceptions import HTTP_EXCEPTIONS, ConnectionTimeout, SerializationError, TransportError

from tickloop.adapters.opensearch.connect import open_server
from tickloop.adapters.opensearch.errors import Place, refusal
from tickloop.adapters.opensearch.reading import check_count
from tickloop.errors import DataError, StoreAwayError, StoreError

PLACE = Place("https://search:9200", "writer", 7.0)


class Listener(BaseHTTPRequestHandler):
    """Answers everything with 200, a body, and what it was asked with."""

    body = b'{"ok":true}'
    authorizations: list[str | None] = []

    def do_GET(self) -> None:
        self.authorizations.append(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *arguments: object) -> None:
        pass


class QuietServer(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[int]:
    with QuietServer(("127.0.0.1", 0), Listener) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that it has signed itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.mark.parametrize(
    ("status", "kind", "reason", "error", "words"),
    [
        (401, "", "Unauthorized", StoreError, "opensearch.password"),
        (403, "security_exception", "no permissions for [indices:data/read]", StoreError, "opensearch.user"),
        (403, "cluster_block_exception", "blocked by: [FORBIDDEN/5/index read-only (api)]", StoreError, "_settings"),
        (429, "cluster_block_exception", "flood-stage watermark", StoreAwayError, "opensearch.keep_days"),
        (429, "circuit_breaking_exception", "Data too large", StoreAwayError, "overloaded"),
        (503, "cluster_manager_not_discovered_exception", "", StoreAwayError, "not ready"),
        (404, "search_context_missing_exception", "No search context found for id", StoreAwayError, "read again"),
        (400, "illegal_argument_exception", "set fielddata=true on [code]", StoreError, "without our template"),
        (413, "", "", StoreError, "max_content_length"),
        (404, "", "<html>Not Found</html>", StoreError, "opensearch.url"),
    ],
)
def test_refusal_names_the_server_and_the_remedy(
    status: int, kind: str, reason: str, error: type[StoreError], words: str
) -> None:
    """And it is away only when the same request may succeed later."""
    info = {"error": {"type": kind, "reason": reason, "root_cause": []}, "status": status} if kind else reason

    problem = refusal(HTTP_EXCEPTIONS.get(status, TransportError)(status, kind, info), PLACE)

    assert isinstance(problem, StoreAwayError) == (error is StoreAwayError)
    assert words in str(problem)
    assert "https://search:9200" in str(problem)


def test_answer_that_comes_too_late_is_away_and_names_the_limit() -> None:
    """Whether it was carried out is not known: lines are delivered again."""
    problem = refusal(ConnectionTimeout("TIMEOUT", "read timed out", TimeoutError()), PLACE)

    assert isinstance(problem, StoreAwayError)
    assert "7 s (opensearch.timeout_s)" in str(problem)


def test_every_error_of_the_client_has_a_translation() -> None:
    """Also one that no page of it mentions."""
    assert isinstance(refusal(SerializationError("text/html"), PLACE), StoreError)


def test_server_that_is_not_there_is_away() -> None:
    """Nobody listens on this port any more."""
    with listening() as port:
        pass

    with pytest.raises(StoreAwayError, match=rf"127.0.0.1:{port} \(opensearch.url\) cannot be reached"):
        open_server(f"http://127.0.0.1:{port}").ask("GET", "/")


def test_certificate_that_is_not_trusted_is_told_with_the_setting(certificate: Path) -> None:
    """With it as the authority's the same server is asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    with listening(context) as port:
        url = f"https://127.0.0.1:{port}"
        with pytest.raises(StoreError, match=r"not trusted.*opensearch.ca_file") as caught:
            open_server(url).ask("GET", "/")
        answer = open_server(url, ca_file=certificate).ask("GET", "/")

    assert not isinstance(caught.value, StoreAwayError)
    assert answer == '{"ok":true}'


def test_https_address_of_a_server_without_tls_is_told() -> None:
    """The other way round the connection is cut, which may pass: it is away."""
    with listening() as port, pytest.raises(StoreError, match="speaks no TLS") as caught:
        open_server(f"https://127.0.0.1:{port}").ask("GET", "/")

    assert not isinstance(caught.value, StoreAwayError)


def test_user_and_password_are_sent_and_shown_nowhere() -> None:
    """Not in messages, not in the text of the object."""
    with listening() as port:
        server = open_server(f"http://127.0.0.1:{port}", user="reader", password="s3cret")
        server.ask("GET", "/")

    assert Listener.authorizations[-1] == "Basic cmVhZGVyOnMzY3JldA=="
    assert "s3cret" not in repr(server)
    with pytest.raises(StoreAwayError) as caught:
        server.ask("GET", "/")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ca_file": Path("/nowhere/ca.pem")}, "opensearch.ca_file"),
        ({"user": "writer"}, "opensearch.password"),
        ({"password": "x"}, "opensearch.user"),
    ],
)
def test_setting_that_cannot_be_used_is_told_before_anything_is_sent(arguments: dict[str, object], words: str) -> None:
    """By its name."""
    with pytest.raises(StoreError, match=words):
        open_server("http://127.0.0.1:1", **arguments)


def test_reading_of_another_number_than_counted_is_not_used() -> None:
    """Paging must not lose or double a trade."""
    check_count(5, 5, "trades", "OpenSearch")

    for seen in (4, 6):
        with pytest.raises(DataError, match=f"counts 5 trades and gave {seen}"):
            check_count(5, seen, "trades", "OpenSearch")
