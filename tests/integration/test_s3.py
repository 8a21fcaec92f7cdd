"""The lake on a real S3 server: sizes, names, and what happens when the server or the writer goes away."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest

from fakes import START_MS
from s3_servers import SECRET_KEY, client_required, made_address, new_address, plain_client
from servers import Server, address_of, running
from tickloop.adapters.common.lake_format import GROUP_ROWS
from tickloop.adapters.s3.bucket import Bucket
from tickloop.adapters.s3.lake import S3Lake
from tickloop.adapters.s3.probe import check_s3
from tickloop.domain.tables import TRADE
from tickloop.domain.window import HOUR_MS, Window, hour_of
from tickloop.errors import DataError, DiskFullError, StoreAwayError, StoreError

pytestmark = pytest.mark.server

HOUR = hour_of(START_MS)
PART_BYTES = 5 * 2**20  # what S3 asks of every part but the last
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    client_required()
    with address_of("s3", tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, which it may stop."""
    client_required()
    with running("s3", tmp_path / "s3") as server:
        yield server


@pytest.fixture
def bucket(endpoint: str) -> Iterator[Bucket]:
    with closing(Bucket(made_address(endpoint))) as bucket:
        yield bucket


def trades(count: int, seed: int = 20240122) -> pl.DataFrame:
    """Give an hour of trades whose values repeat too little to be packed small."""
    made = np.random.default_rng(seed)
    ts = np.sort(made.integers(0, HOUR_MS, count)) + HOUR.start_ms
    received = ts * 1_000_000 + made.integers(0, 2**26, count)
    columns = {
        "market": ["KRW-BTC"] * count,
        "trade_id": made.permutation(count) + made.integers(0, 2**40),
        "ts_event": ts,
        "ts_received": received,
        "arrival": received,
        "price": made.uniform(5e7, 6e7, count),
        "qty_e8": made.integers(1, 2**40, count),
        "side": ["BUY"] * count,
        "change": ["RISE"] * count,
        "source": ["stream"] * count,
    }
    frame = pl.DataFrame({name: columns[name] for name in TRADE.columns})
    return frame.with_columns(pl.col(name).cast(dtype) for name, dtype in TRADE.columns.items())


def test_large_hour_goes_in_parts_and_comes_back(endpoint: str) -> None:
    """Above the threshold an object is sent in parts; its tag on the server counts them."""
    address = made_address(endpoint)
    large = trades(400_000)

    with closing(S3Lake(Bucket(address, part_bytes=PART_BYTES, parts_above_bytes=PART_BYTES), "lake")) as lake:
        size = lake.put("KRW-BTC", HOUR, [large])
        found = lake.get("KRW-BTC", HOUR)

    assert size > PART_BYTES
    assert found is not None
    assert found.equals(large)
    with plain_client(endpoint) as client:
        head = client.head_object(Bucket=address.bucket, Key="lake/market=KRW-BTC/date=2024-01-22/hour=00.parquet")
    assert head["ETag"].strip('"').endswith(f"-{-(-size // PART_BYTES)}")


def test_hour_of_several_row_groups_is_read_group_by_group(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also out of a file on the disk, where a large object lies meanwhile."""
    monkeypatch.setattr("tickloop.adapters.s3.bucket._MEMORY_BYTES", 1_000_000)
    large = trades(GROUP_ROWS + 5)
    lake = S3Lake(bucket, "lake")

    lake.put("KRW-BTC", HOUR, large.iter_slices(10_007))
    parts = lake.parts("KRW-BTC", HOUR)

    assert parts is not None
    found = list(parts)
    assert [part.height for part in found] == [GROUP_ROWS, 5]
    assert pl.concat(found).equals(large)


class Full(BytesIO):
    def write(self, *_data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_disk_without_room_for_the_temporary_file_is_named(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever must act is told where; the object stands."""
    lake = S3Lake(bucket, "lake")
    lake.put("KRW-BTC", HOUR, [trades(3)])

    with monkeypatch.context() as patch:
        patch.setattr("tickloop.adapters.s3.bucket._temporary", Full)
        with pytest.raises(DiskFullError, match=r"cannot be written: No space left on device"):
            lake.put("KRW-BTC", HOUR, [trades(4)])
        with pytest.raises(DiskFullError, match=r"cannot be written: No space left on device"):
            lake.parts("KRW-BTC", HOUR)

    found = lake.get("KRW-BTC", HOUR)
    assert found is not None
    assert found.equals(trades(3))


def test_parts_of_a_killed_writer_are_removed_by_the_next(endpoint: str) -> None:
    """Nobody sees such parts, and they take room for ever; an upload of another object is left alone."""
    address = made_address(endpoint)
    with plain_client(endpoint) as client, closing(Bucket(address, parts_above_bytes=1)) as bucket:
        left = client.create_multipart_upload(Bucket=address.bucket, Key="lake/a")["UploadId"]
        client.upload_part(Bucket=address.bucket, Key="lake/a", UploadId=left, PartNumber=1, Body=b"half")
        client.create_multipart_upload(Bucket=address.bucket, Key="lake/ab")

        bucket.put("lake/a", b"whole")

        uploads = client.list_multipart_uploads(Bucket=address.bucket).get("Uploads", [])
        assert [upload["Key"] for upload in uploads] == ["lake/ab"]
        assert bucket.get("lake/a") == b"whole"


def test_more_hours_than_one_answer_holds_are_listed(bucket: Bucket) -> None:
    """A server gives 1,000 names an answer; strange names between ours are passed over."""
    hours = list(Window(START_MS, START_MS + 1_100 * HOUR_MS).hours())
    lake = S3Lake(bucket, "lake")
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda hour: bucket.put(
                    f"lake/market=KRW-BTC/date={hour.start:%Y-%m-%d}/hour={hour.start:%H}.parquet", b"x"
                ),
                hours,
            )
        )
    bucket.put("lake/market=KRW-BTC/date=2024-01-23/hour=99.parquet", b"x")
    bucket.put("lake/market=KRW-BTC/date=2024-99-99/hour=00.parquet", b"x")
    bucket.put("lake/market=KRW-BTC2/date=2024-01-23/hour=00.parquet", b"x")

    found = lake.hours("KRW-BTC", Window(START_MS, START_MS + 2_000 * HOUR_MS))

    assert found == hours
    assert lake.hours("KRW-BTC", Window(hours[1_050].start_ms, hours[1_060].start_ms)) == hours[1_050:1_060]


def test_reader_sees_the_old_hour_or_the_new_one(bucket: Bucket) -> None:
    """Two states take turns under the reader; it never meets a third, nor an absence."""
    lake = S3Lake(bucket, "lake")
    states = [trades(20_000, seed) for seed in (1, 2)]
    lake.put("KRW-BTC", HOUR, [states[0]])
    seen: list[pl.DataFrame | None] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(lake.get("KRW-BTC", HOUR))

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for number in range(1, 21):
            lake.put("KRW-BTC", HOUR, [states[number % 2]])
        done.set()
        reader.result(DEADLINE_S)

    assert seen
    assert all(frame is not None and any(frame.equals(state) for state in states) for frame in seen)


_WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from s3_servers import new_address
from tickloop.adapters.s3.bucket import Bucket
Bucket(new_address(sys.argv[2], bucket=sys.argv[3])).put("lake/a", b"x" * int(sys.argv[4]))
"""


class Way:
    """A way to a server for one connection: it may let pass only `limit` bytes of what is asked, or damage it.

    Attributes:
        damage: changes what passes from the client ("up") or from the server ("down").
        tls: speak TLS to the client.
    """

    def __init__(
        self,
        server: str,
        *,
        limit: int = sys.maxsize,
        damage: Literal["up", "down"] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        host, port = server.removeprefix("http://").split(":")
        self._server = (host, int(port))
        self._left = limit
        self._damage = damage
        self._tls = tls
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"http{'s' if tls else ''}://127.0.0.1:{self._door.getsockname()[1]}"
        self.is_half = threading.Event()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let one connection pass as long as the block; it must end with the block."""
        with ThreadPoolExecutor(1) as pool:
            passing = pool.submit(self._pass_one)
            yield
            passing.result(DEADLINE_S)

    def _pass_one(self) -> None:
        plain, _ = self._door.accept()
        with self._door, plain, suppress(ssl.SSLError):  # a client that does not trust us goes
            client = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
            with client, socket.create_connection(self._server) as server, ThreadPoolExecutor(1) as pool:
                pool.submit(self._answers, server, client)
                with suppress(ConnectionError):  # that is how a killed client goes
                    while data := client.recv(65_536):
                        self._ask(server, data)
                server.shutdown(socket.SHUT_RDWR)

    def _ask(self, server: socket.socket, data: bytes) -> None:
        passed = data[: self._left]
        server.sendall(passed.replace(b"xxxx", b"xxyx") if self._damage == "up" else passed)
        self._left -= len(passed)
        if self._left == 0:
            self.is_half.set()

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):  # the client is gone
            while data := server.recv(65_536):
                client.sendall(data.replace(b"xxxx", b"xxyx") if self._damage == "down" else data)


def test_old_hour_stands_when_the_writer_is_killed_half_way(bucket: Bucket) -> None:
    """Half of an object has reached the server; it waits for the rest, then drops what it has."""
    bucket.put("lake/a", b"old")
    size = 4_000_000
    way = Way(bucket.address.endpoint or "", limit=size // 2)
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", _WRITER, tests, way.address, bucket.address.bucket, str(size)]
    with way.open(), subprocess.Popen(command) as writer:
        assert way.is_half.wait(DEADLINE_S)
        during = bucket.get("lake/a")
        writer.kill()
        assert writer.wait(DEADLINE_S) == -signal.SIGKILL

    assert during == b"old"
    assert bucket.get("lake/a") == b"old"
    assert list(bucket.keys("")) == ["lake/a"]
    bucket.put("lake/a", b"new")
    assert bucket.get("lake/a") == b"new"


def test_put_through_the_same_way_is_done_when_all_of_it_passes(bucket: Bucket) -> None:
    """What the test above stands on: it is the missing half that keeps the object from being there."""
    way = Way(bucket.address.endpoint or "")
    with way.open(), closing(Bucket(replace(bucket.address, endpoint=way.address))) as through:
        through.put("lake/a", b"x" * 4_000_000)

    assert bucket.get("lake/a") == b"x" * 4_000_000


def test_object_that_is_damaged_on_the_way_to_the_server_is_not_stored(bucket: Bucket) -> None:
    """The server finds that content and checksum disagree; the old object stands."""
    bucket.put("lake/a", b"old")
    way = Way(bucket.address.endpoint or "", damage="up")
    with way.open(), closing(Bucket(replace(bucket.address, endpoint=way.address))) as through:
        with pytest.raises(StoreAwayError, match="what was sent arrived damaged and was not stored: send it again"):
            through.put("lake/a", b"x" * 1_000)
        through.close()

    assert bucket.get("lake/a") == b"old"


def test_object_that_is_damaged_on_the_way_back_is_not_given(bucket: Bucket) -> None:
    """The checksum that was stored with it does not fit what came."""
    bucket.put("lake/a", b"x" * 1_000)
    way = Way(bucket.address.endpoint or "", damage="down")
    with way.open(), closing(Bucket(replace(bucket.address, endpoint=way.address))) as through:
        with pytest.raises(StoreAwayError, match="sent an object that arrived damaged"):
            through.get("lake/a")
        through.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that only itself vouches for, with its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def test_server_whose_certificate_is_not_trusted_is_not_asked(bucket: Bucket, certificate: Path) -> None:
    """The message names the setting that would make it trusted; asking again would not help."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    way = Way(bucket.address.endpoint or "", tls=tls)
    with (
        way.open(),
        closing(Bucket(replace(bucket.address, endpoint=way.address, tries=1))) as through,
        pytest.raises(StoreError, match=r"certificate that is not trusted: .*valid: s3\.ca_file") as caught,
    ):
        through.get("lake/a")

    assert not isinstance(caught.value, StoreAwayError)


def test_server_whose_certificate_the_settings_name_is_asked(bucket: Bucket, certificate: Path) -> None:
    """The same server, trusted."""
    bucket.put("lake/a", b"a")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    way = Way(bucket.address.endpoint or "", tls=tls)
    trusted = replace(bucket.address, endpoint=way.address, ca_file=Path(f"{certificate}.crt"))
    with way.open(), closing(Bucket(trusted)) as through:
        assert through.get("lake/a") == b"a"
        through.close()


def test_certificate_that_is_not_there_is_named(bucket: Bucket, tmp_path: Path) -> None:
    """Before anything is asked."""
    missing = replace(bucket.address, endpoint="https://127.0.0.1:1", ca_file=tmp_path / "ca.pem", tries=1)
    with closing(Bucket(missing)) as through, pytest.raises(StoreError, match=r"s3\.ca_file .*ca\.pem"):
        through.get("a")


def test_server_that_is_away_is_reported_and_used_again_when_back(server: Server) -> None:
    """The same lake goes on; what was there before is there still."""
    address = made_address(server.address, tries=2)
    with closing(S3Lake(Bucket(address), "lake")) as lake:
        lake.put("KRW-BTC", HOUR, [trades(3)])
        server.stop(signal.SIGKILL)

        with pytest.raises(StoreAwayError, match=rf"S3 at {server.address} \(s3\.endpoint\) does not answer"):
            lake.put("KRW-BTC", HOUR, [trades(4)])
        with pytest.raises(StoreAwayError, match="does not answer"):
            lake.hours("KRW-BTC", HOUR)

        server.start()
        found = lake.get("KRW-BTC", HOUR)
        assert found is not None
        assert found.equals(trades(3))
        lake.put("KRW-BTC", HOUR, [trades(4)])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"access_key": "nobody"}, r"InvalidAccessKeyId.*valid: an s3\.access_key that this server knows"),
        ({"secret_key": "wrong"}, r"SignatureDoesNotMatch.*valid: the s3\.secret_key that belongs to s3\.access_key"),
        ({"secret_key": None}, r"needs keys: .*valid: both s3\.access_key and s3\.secret_key"),
        ({"bucket": "not-made"}, r"NoSuchBucket.*aws s3api create-bucket --bucket not-made --endpoint-url http://127"),
        ({"bucket": "No Bucket"}, r"valid: s3\.bucket of 3 to 63 small letters"),
        ({"region": "kr north"}, r"valid: .*s3\.region as us-east-1"),
    ],
)
def test_setting_at_fault_is_named_with_its_remedy(endpoint: str, changes: dict[str, str], says: str) -> None:
    """By each of the operations; no key is in the text, and asking again would not help."""
    with closing(Bucket(replace(made_address(endpoint), **changes))) as bucket:
        for ask in (
            lambda: bucket.put("a", b""),
            lambda: bucket.get("a"),
            lambda: list(bucket.keys("")),
            lambda: check_s3(bucket, "lake"),
        ):
            with pytest.raises(StoreError, match=says) as caught:
                ask()

            assert not isinstance(caught.value, StoreAwayError)
            assert SECRET_KEY not in str(caught.value)
            assert "wrong" not in str(caught.value)


def test_address_where_another_program_speaks_tls_or_none_is_reported(endpoint: str) -> None:
    """https to a server that speaks http."""
    with (
        closing(Bucket(new_address(endpoint.replace("http:", "https:"), tries=1))) as bucket,
        pytest.raises(StoreError, match=r"S3 at https://.*s3\.(ca_file|endpoint)"),
    ):
        bucket.get("a")


def test_object_that_is_no_hour_is_reported_by_its_address(bucket: Bucket) -> None:
    """Somebody's upload to the wrong name never passes for an empty hour."""
    bucket.put("lake/market=KRW-BTC/date=2024-01-22/hour=00.parquet", b"not parquet")

    with pytest.raises(DataError, match=r"s3://test-.*/lake/market=KRW-BTC/.*hour=00\.parquet cannot be read"):
        S3Lake(bucket, "lake").get("KRW-BTC", HOUR)


def test_polars_reads_the_lake_without_our_code(bucket: Bucket) -> None:
    """Another program reads the bucket by the layout alone."""
    S3Lake(bucket, "lake").put("KRW-BTC", HOUR, [trades(5)])

    found = pl.read_parquet(
        f"s3://{bucket.address.bucket}/lake/market=KRW-BTC/date=2024-01-22/hour=00.parquet",
        hive_partitioning=False,
        storage_options={
            "aws_endpoint_url": bucket.address.endpoint or "",
            "aws_access_key_id": bucket.address.access_key or "",
            "aws_secret_access_key": SECRET_KEY,
            "aws_region": "us-east-1",
            "aws_allow_http": "true",
        },
    )

    assert found["price"].to_list() == trades(5)["price"].to_list()


def test_probe_leaves_nothing_behind(bucket: Bucket) -> None:
    """The doctor writes, reads, lists and deletes one object."""
    said = check_s3(bucket, "lake")

    assert "wrote, read, listed and deleted" in said
    assert list(bucket.keys("")) == []


def test_many_threads_share_one_bucket(bucket: Bucket) -> None:
    """The first calls come at once, before there is a client."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: bucket.put(f"a/{number}", b"%d" % number), range(32)))
        found = list(pool.map(lambda number: bucket.get(f"a/{number}"), range(32)))

    assert found == [b"%d" % number for number in range(32)]


def _read_in_child(bucket: Bucket, pipe: multiprocessing.connection.Connection) -> None:
    pipe.send([bucket.get("a") for _ in range(20)])
    bucket.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 and later warn of what is tried here
def test_process_that_was_forked_off_has_connections_of_its_own(bucket: Bucket) -> None:
    """Parent and child read at once; on a shared connection they would get each other's answers."""
    bucket.put("a", b"a")
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_read_in_child, args=(bucket, theirs))
    child.start()

    assert [bucket.get("a") for _ in range(20)] == [b"a"] * 20
    assert ours.poll(DEADLINE_S)
    assert ours.recv() == [b"a"] * 20
    child.join(DEADLINE_S)
    assert child.exitcode == 0
    assert os.getpid() != child.pid
