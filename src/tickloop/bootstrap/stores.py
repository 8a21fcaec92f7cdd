"""Which adapters stand behind the stores: files of a home, or servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from tickloop.errors import MissingExtraError
from tickloop.settings import OpensearchSettings, Settings

if TYPE_CHECKING:  # opened on first use: a command pays only for the adapters it needs
    from pydantic import SecretStr

    from tickloop.adapters.mlflow.server import ServerPlace
    from tickloop.adapters.opensearch.connect import Server
    from tickloop.adapters.postgres.connect import PostgresServer
    from tickloop.adapters.postgres.lock import PostgresWindowLock
    from tickloop.adapters.s3.bucket import Bucket
    from tickloop.ports import Clock, Lake, ModelRegistry, Prunable, RawStore, Warehouse, WindowLock

Check = Callable[[], str]
"""Writes to a server, reads back and deletes; gives what it found, raises `StoreError`."""


class Stores(Protocol):
    """The stores of one profile; each is opened when it is first used."""

    @property
    def raw(self) -> RawStore: ...
    @property
    def lake(self) -> Lake: ...
    @property
    def warehouse(self) -> Warehouse: ...
    @property
    def lock(self) -> WindowLock: ...
    @property
    def registry(self) -> ModelRegistry: ...

    @property
    def servers(self) -> Mapping[str, Check]:
        """Give the check of each server, by its section of the settings."""

    def made_warehouse(self) -> Warehouse | None:
        """Give the warehouse if its tables are there; nothing is made."""

    def made_registry(self) -> ModelRegistry | None:
        """Give the registry if it is there; nothing is made."""

    def prunables(self) -> list[Prunable]:
        """Give the stores that forget old days."""

    def close(self) -> None:
        """Let go of what was opened."""


def stores_of(settings: Settings, clock: Clock, journal: Callable[[], RawStore]) -> Stores:
    """Pick by the profile.

    Args:
        journal: gives the raw store of this home; in the cluster it is delivered elsewhere and read there.
    """
    if settings.profile == "laptop":
        return LaptopStores(settings, clock, journal)
    return ClusterStores(settings, clock)


class LaptopStores:
    """Files below the home."""

    def __init__(self, settings: Settings, clock: Clock, journal: Callable[[], RawStore]) -> None:
        self._paths = settings.paths
        self._clock = clock
        self._journal = journal
        self.servers: Mapping[str, Check] = {}

    @property
    def raw(self) -> RawStore:
        return self._journal()

    @cached_property
    def lake(self) -> Lake:
        from tickloop.adapters.local.lake import ParquetLake

        return ParquetLake(self._paths.lake)

    @cached_property
    def warehouse(self) -> Warehouse:
        from tickloop.adapters.local.warehouse import SqliteWarehouse

        return SqliteWarehouse(self._paths.warehouse)

    @cached_property
    def lock(self) -> WindowLock:
        from tickloop.adapters.local.lock import FileWindowLock

        return FileWindowLock(self._paths.locks)

    @cached_property
    def registry(self) -> ModelRegistry:
        from tickloop.adapters.mlflow.place import FilePlace
        from tickloop.adapters.mlflow.registry import MlflowRegistry

        return MlflowRegistry(FilePlace(self._paths.registry, self._paths.artifacts), self._clock)

    def made_warehouse(self) -> Warehouse | None:
        return self.warehouse if self._paths.warehouse.exists() else None

    def made_registry(self) -> ModelRegistry | None:
        return self.registry if self._paths.registry.exists() else None

    def prunables(self) -> list[Prunable]:
        return []

    def close(self) -> None:
        if "warehouse" in self.__dict__:
            self.warehouse.close()


class ClusterStores:
    """OpenSearch, S3, PostgreSQL and an MLflow server."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    @cached_property
    def raw(self) -> RawStore:
        with extra("OpenSearch", "cluster"):
            from tickloop.adapters.opensearch.store import OpensearchStore

        prefix = self._settings.opensearch.index_prefix
        return OpensearchStore(self.opensearch, prefix, self._clock, self._settings.paths.dead_letters)

    @cached_property
    def lake(self) -> Lake:
        with extra("S3", "cluster"):
            from tickloop.adapters.s3.lake import S3Lake

        return S3Lake(self._bucket, self._settings.s3.prefix)

    @cached_property
    def warehouse(self) -> Warehouse:
        with extra("PostgreSQL", "cluster"):
            from tickloop.adapters.postgres.warehouse import PostgresWarehouse

        return PostgresWarehouse(self._postgres)

    @cached_property
    def lock(self) -> PostgresWindowLock:
        with extra("PostgreSQL", "cluster"):
            from tickloop.adapters.postgres.lock import PostgresWindowLock

        return PostgresWindowLock(self._postgres)

    @cached_property
    def registry(self) -> ModelRegistry:
        from tickloop.adapters.mlflow.registry import MlflowRegistry

        return MlflowRegistry(self._mlflow, self._clock, self._settings.mlflow.prefix)

    @property
    def servers(self) -> Mapping[str, Check]:
        return {
            "opensearch": self._check_opensearch,
            "postgres": self._check_postgres,
            "s3": self._check_s3,
            "mlflow": self._check_mlflow,
        }

    def made_warehouse(self) -> Warehouse | None:
        with extra("PostgreSQL", "cluster"):
            from tickloop.adapters.postgres.probe import has_tables

        return self.warehouse if has_tables(self._postgres) else None

    def made_registry(self) -> ModelRegistry:
        return self.registry  # reading it makes nothing on a server

    def prunables(self) -> list[Prunable]:
        with extra("OpenSearch", "cluster"):
            from tickloop.adapters.opensearch.prune import OpensearchPruning

        opensearch = self._settings.opensearch
        return [OpensearchPruning(self.opensearch, opensearch.index_prefix, opensearch.keep_days)]

    def close(self) -> None:
        for name in ("opensearch", "lake", "warehouse", "lock"):
            if name in self.__dict__:
                getattr(self, name).close()

    @cached_property
    def opensearch(self) -> Server:
        return open_opensearch(self._settings.opensearch)

    @cached_property
    def _postgres(self) -> PostgresServer:
        with extra("PostgreSQL", "cluster"):
            from tickloop.adapters.postgres.connect import PostgresServer

        postgres = self._settings.postgres
        return PostgresServer(
            postgres.host,
            postgres.port,
            postgres.database,
            postgres.user,
            plain(postgres.password),
            postgres.sslmode,
            postgres.ca_file,
            postgres.connect_timeout_s,
        )

    @cached_property
    def _bucket(self) -> Bucket:
        with extra("S3", "cluster"):
            from tickloop.adapters.s3.address import S3Address
            from tickloop.adapters.s3.bucket import Bucket

        s3 = self._settings.s3
        address = S3Address(
            endpoint=s3.endpoint,
            region=s3.region,
            bucket=s3.bucket,
            access_key=plain(s3.access_key),
            secret_key=plain(s3.secret_key),
            ca_file=s3.ca_file,
            timeout_s=s3.timeout_s,
        )
        return Bucket(address)

    @cached_property
    def _mlflow(self) -> ServerPlace:
        from tickloop.adapters.mlflow.server import ServerPlace

        mlflow = self._settings.mlflow
        return ServerPlace(
            mlflow.url,
            user=mlflow.user,
            password=plain(mlflow.password),
            ca_file=mlflow.ca_file,
            timeout_s=mlflow.timeout_s,
        )

    def _check_opensearch(self) -> str:
        with extra("OpenSearch", "cluster"):
            from tickloop.adapters.opensearch.probe import check_opensearch

        return check_opensearch(self.opensearch, self._settings.opensearch.index_prefix)

    def _check_postgres(self) -> str:
        with extra("PostgreSQL", "cluster"):
            from tickloop.adapters.postgres.probe import check_postgres

        return check_postgres(self._postgres)

    def _check_s3(self) -> str:
        with extra("S3", "cluster"):
            from tickloop.adapters.s3.probe import check_s3

        return check_s3(self._bucket, self._settings.s3.prefix)

    def _check_mlflow(self) -> str:
        from tickloop.adapters.mlflow.probe import check_mlflow

        return check_mlflow(self._mlflow, self._settings.mlflow.prefix)


def open_opensearch(opensearch: OpensearchSettings) -> Server:
    """Give the server of the settings; nothing is sent yet."""
    with extra("OpenSearch", "cluster"):
        from tickloop.adapters.opensearch.connect import open_server

    return open_server(
        opensearch.url,
        user=opensearch.user,
        password=plain(opensearch.password),
        ca_file=opensearch.ca_file,
        timeout_s=opensearch.timeout_s,
    )


@contextmanager
def extra(what: str, name: str) -> Iterator[None]:
    """Say which extra is missing when an adapter's client library is not installed."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise MissingExtraError(what, name) from exc


def plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
