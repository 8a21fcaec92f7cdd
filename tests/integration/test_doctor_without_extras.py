"""`tickloop doctor` of the profile `cluster` where the clients of its servers are not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_client_that_is_not_installed_is_named_by_its_extra(tmp_path: Path) -> None:
    """`make demo` installs none of them."""
    clients = ("boto3", "botocore", "opensearchpy", "psycopg", "adbc_driver_postgresql")
    (tmp_path / "tickloop.toml").write_text('profile = "cluster"\n[exchange]\nrest_url = "http://127.0.0.1:9"\n')
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({clients}));"
        "from tickloop.entrypoints.cli import main; sys.argv[1:] = ['doctor', '--json', '--home', sys.argv[1]]; main()"
    )

    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=120)

    assert done.returncode == 3, done.stderr
    report = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    for name in ("opensearch", "postgres", "s3"):
        assert (report[name]["state"], "tickloop[cluster]" in report[name]["figure"]) == ("fail", True)
