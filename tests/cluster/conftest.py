"""The four servers of the cluster profile, shared by all tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster_world import Servers

import postgres_servers
import s3_servers
from servers import address_of

pytestmark = pytest.mark.server


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, postgres_address: str) -> Iterator[Servers]:
    s3_servers.client_required()
    postgres_servers.client_required()
    folder = tmp_path_factory.mktemp("servers")
    with (
        address_of("opensearch", folder / "opensearch") as opensearch,
        address_of("s3", folder / "s3") as s3,
        address_of("mlflow", folder / "mlflow") as mlflow,
    ):
        yield Servers(opensearch, postgres_address, s3, mlflow)
