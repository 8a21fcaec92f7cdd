"""Make what a test's MLflow server stands on, and print it as shell variables: prepare.py FOLDER.

Runs in the server's own environment. The names of database and bucket are kept in FOLDER: the server comes back to
them when it is started again.
"""

from __future__ import annotations

import os
import shlex
import sys
import uuid
from pathlib import Path

S3_KEYS = ("tickloop-test", "tickloop-test-secret")  # those of scripts/servers/s3.sh


def main(folder: Path) -> None:
    name = _own_name(folder)
    variables = {"records": f"sqlite:///{folder / 'mlflow.sqlite'}", "files": str(folder / "artifacts"), "app": ""}
    if address := os.environ.get("TICKLOOP_TEST_POSTGRES"):
        variables["records"] = _database(address, f"mlflow_{name}")
    if address := os.environ.get("TICKLOOP_TEST_S3"):
        variables |= _bucket(address, f"mlflow-{name}")
    if user := os.environ.get("TICKLOOP_MLFLOW_USER"):
        variables |= _authentication(folder, user, os.environ["TICKLOOP_MLFLOW_PASSWORD"])
    for key, value in variables.items():
        sys.stdout.write(f"export {key}={shlex.quote(value)}\n")


def _own_name(folder: Path) -> str:
    path = folder / "name"
    if not path.exists():
        path.write_text(uuid.uuid4().hex[:12])
    return path.read_text()


def _database(address: str, name: str) -> str:
    import psycopg

    connection = psycopg.connect(f"{address}/postgres", autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute("select 1 from pg_database where datname = %s", (name,))
        if cursor.fetchone() is None:
            cursor.execute(f'create database "{name}"')
    connection.close()
    return f"{address.replace('postgresql:', 'postgresql+psycopg:')}/{name}"


def _bucket(address: str, name: str) -> dict[str, str]:
    import boto3

    access_key, secret_key = S3_KEYS
    client = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )
    if name not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=name)
    return {
        "files": f"s3://{name}",
        "MLFLOW_S3_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _authentication(folder: Path, user: str, password: str) -> dict[str, str]:
    users = folder / "users.ini"
    users.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder / 'users.sqlite'}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    return {
        "app": "--app-name basic-auth",
        "MLFLOW_AUTH_CONFIG_PATH": str(users),
        "MLFLOW_AUTH_ADMIN_USERNAME": user,
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": uuid.uuid4().hex,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
