"""Make the secrets of one Docker host, once: a folder for each service below FOLDER, readable by its user alone.

    make_secrets.py make FOLDER     passwords, keys and certificates that are not there yet; the rest is left alone
    make_secrets.py show FOLDER     what a person needs to sign in
    make_secrets.py rotate FOLDER NAME...   new values for these, then `docker compose up --detach --force-recreate`

FOLDER/all/secrets.json is the one place where they are decided; no service but this one sees it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey as Key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

OURS, POSTGRES, OPENSEARCH, GRAFANA = 10001, 999, 1000, 472
"""Users of the images that read what is written here."""

OWNERS = {
    "all": 0,
    "ca": 0,
    "stores": OURS,
    "api": OURS,
    "fluentd": OURS,
    "airflow": OURS,
    "mlflow": OURS,
    "s3": OURS,
    "s3-setup": OURS,
    "postgres": POSTGRES,
    "opensearch": OPENSEARCH,
    "dashboards": OPENSEARCH,
    "dashboards-import": OPENSEARCH,
    "grafana": GRAFANA,
}

VOLUMES = {"buckets": OURS, "opensearch-config": OPENSEARCH, "airflow-dags": OURS}
"""Volumes whose image has no such folder, from which Docker would take the owner."""

PASSWORDS = (
    "postgres", "tickloop_postgres", "mlflow_postgres", "airflow_postgres", "opensearch_admin", "opensearch_tickloop",
    "opensearch_reader", "opensearch_dashboards", "dashboards_cookie", "s3_root", "s3_tickloop", "s3_mlflow",
    "api_token", "airflow_admin", "grafana_admin",
)  # fmt: skip
KEYS = ("airflow_fernet", "airflow_secret", "airflow_jwt")

FIXED = {
    "postgres": "it is PostgreSQL's own admin, set when the data was made: ALTER ROLE there first, then here by hand",
    "airflow_fernet": "Airflow could no longer read what it has encrypted: airflow rotate-fernet-key first",
}
"""What cannot be renewed by writing a new value, and why."""

CERTIFICATES = (
    ("postgres", "tls", "postgres", POSTGRES),
    ("opensearch", "tls", "opensearch", OPENSEARCH),
    ("opensearch", "admin", "opensearch-admin", OPENSEARCH),
)
"""Folder, file, name and reader of each; with the last one changed users are brought in."""

_VALUE = re.compile(r"^[A-Za-z0-9_@:/+.=?&%-]+$")
_VALID_DAYS = 3650


def decided(path: Path, renew: tuple[str, ...] = ()) -> dict[str, str]:
    """Give every secret by its name, those of last time where there was one."""
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    unknown = sorted(set(renew) - {*PASSWORDS, *KEYS})
    if unknown:
        sys.exit(f"secrets: {unknown[0]!r} is none of them; valid: {', '.join((*PASSWORDS, *KEYS))}")
    for name in set(renew) & set(FIXED):
        sys.exit(f"secrets: {name} is not renewed: {FIXED[name]}")
    for name in (*PASSWORDS, *KEYS):
        if name not in known or name in renew:
            known[name] = _fernet() if name == "airflow_fernet" else secrets.token_hex(32 if name in KEYS else 24)
    return known


def _fernet() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def variables(known: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Give the environment of each service by the name of its folder, nothing in it that it does not use."""
    airflow = (
        f"airflow:{known['airflow_postgres']}@postgres/airflow?sslmode=verify-full&sslrootcert=/etc/tickloop/ca.pem"
    )
    mlflow = f"mlflow:{known['mlflow_postgres']}@postgres/mlflow?sslmode=verify-full&sslrootcert=/etc/tickloop/ca.pem"
    return {
        "stores": {
            "TICKLOOP_POSTGRES__PASSWORD": known["tickloop_postgres"],
            "TICKLOOP_S3__ACCESS_KEY": "tickloop",
            "TICKLOOP_S3__SECRET_KEY": known["s3_tickloop"],
            "TICKLOOP_OPENSEARCH__USER": "tickloop",
            "TICKLOOP_OPENSEARCH__PASSWORD": known["opensearch_tickloop"],
        },
        "api": {"TICKLOOP_SERVE__TOKEN": known["api_token"]},
        "fluentd": {
            "FLUENT_OPENSEARCH_USER": "tickloop",
            "FLUENT_OPENSEARCH_PASSWORD": known["opensearch_tickloop"],
        },
        "airflow": {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg://{airflow}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+psycopg_async://{airflow}",
            "AIRFLOW__CORE__FERNET_KEY": known["airflow_fernet"],
            "AIRFLOW__API__SECRET_KEY": known["airflow_secret"],
            "AIRFLOW__API_AUTH__JWT_SECRET": known["airflow_jwt"],
            "ADMIN_PASSWORD": known["airflow_admin"],
        },
        "mlflow": {
            "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg://{mlflow}",
            "AWS_ACCESS_KEY_ID": "mlflow",
            "AWS_SECRET_ACCESS_KEY": known["s3_mlflow"],
        },
        "s3": {"ROOT_ACCESS_KEY": "root", "ROOT_SECRET_KEY": known["s3_root"]},
        "s3-setup": {
            "ADMIN_ACCESS_KEY": "root",
            "ADMIN_SECRET_KEY": known["s3_root"],
            "TICKLOOP_ACCESS_KEY": "tickloop",
            "TICKLOOP_SECRET_KEY": known["s3_tickloop"],
            "MLFLOW_ACCESS_KEY": "mlflow",
            "MLFLOW_SECRET_KEY": known["s3_mlflow"],
        },
        "postgres": {"PGPASSWORD": known["postgres"], "POSTGRES_PASSWORD": known["postgres"]},
        "opensearch": {
            "ADMIN_PASSWORD": known["opensearch_admin"],
            "DASHBOARDS_PASSWORD": known["opensearch_dashboards"],
            "READER_PASSWORD": known["opensearch_reader"],
            "WRITER_USER": "tickloop",
            "WRITER_PASSWORD": known["opensearch_tickloop"],
        },
        "dashboards": {
            "DASHBOARDS_PASSWORD": known["opensearch_dashboards"],
            "COOKIE_PASSWORD": known["dashboards_cookie"],
        },
        "dashboards-import": {"ADMIN_PASSWORD": known["opensearch_admin"]},
        "grafana": {"GF_SECURITY_ADMIN_PASSWORD": known["grafana_admin"]},
    }


def make(folder: Path, renew: tuple[str, ...] = ()) -> None:
    """Write all that is missing, and the files that follow from what is decided."""
    os.umask(0o077)
    for name, owner in {**OWNERS, **VOLUMES}.items():
        place = folder / name
        place.mkdir(exist_ok=True)
        _own(place, owner, 0o755 if name == "ca" or name in VOLUMES else 0o500)
    known = decided(folder / "all" / "secrets.json", renew)
    _write(folder / "all" / "secrets.json", json.dumps(known, indent=1, sort_keys=True) + "\n", 0)
    for name, values in variables(known).items():
        _write(folder / name / "env", environment(values), OWNERS[name])
    _certificates(folder)
    _postgres_setup(folder, known)


def environment(values: Mapping[str, str]) -> str:
    """Give variables as a shell reads them."""
    wrong = [name for name, value in values.items() if not _VALUE.match(value)]
    if wrong:
        sys.exit(f"secrets: the value of {wrong[0]} has characters that a shell would read")
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


def _postgres_setup(folder: Path, known: Mapping[str, str]) -> None:
    names = ("tickloop", "mlflow", "airflow")
    passwords = folder / "all" / "passwords.toml"
    _write(passwords, "".join(f'{name} = "{known[f"{name}_postgres"]}"\n' for name in names), 0)
    made = subprocess.run(  # noqa: S603 (arguments are ours)
        ["tickloop", "postgres-setup", str(passwords)],  # noqa: S607 (the image's own)
        check=True,
        capture_output=True,
        text=True,
    )
    _write(folder / "postgres" / "setup.sql", made.stdout, POSTGRES)


def _certificates(folder: Path) -> None:
    """Make an authority of this host's own, and a certificate for each server that is asked by its name."""
    authority = _authority(folder)
    for place, file, name, owner in CERTIFICATES:
        if (folder / place / f"{file}.crt").exists():
            continue
        key = ec.generate_private_key(ec.SECP256R1())
        made = _sign(authority, name, key)
        _write(folder / place / f"{file}.key", _pem(key), owner)
        _write(folder / place / f"{file}.crt", made.public_bytes(serialization.Encoding.PEM).decode(), owner)


def _authority(folder: Path) -> tuple[x509.Certificate, Key]:
    shown, hidden = folder / "ca" / "ca.pem", folder / "all" / "ca.key"
    if shown.exists() and hidden.exists():
        key = serialization.load_pem_private_key(hidden.read_bytes(), None)
        if isinstance(key, Key):
            return x509.load_pem_x509_certificate(shown.read_bytes()), key
    for place, file, _, _ in CERTIFICATES:  # what another authority has signed
        (folder / place / f"{file}.crt").unlink(missing_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    made = _sign(None, "tickloop-ca", key)
    _write(hidden, _pem(key), 0)
    _write(shown, made.public_bytes(serialization.Encoding.PEM).decode(), 0, 0o444)
    return made, key


def _sign(authority: tuple[x509.Certificate, Key] | None, name: str, key: Key) -> x509.Certificate:
    """Sign a server's certificate, or without an authority one that signs itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = subject if authority is None else authority[0].subject
    signer = key if authority is None else authority[1]
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(is_authority=authority is None), critical=True)
    )
    if authority is not None:
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.DNSName("localhost")])
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(names, critical=False).add_extension(uses, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: Key) -> str:
    """Give a key as PKCS#8, which OpenSearch asks for."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _write(path: Path, text: str, owner: int, mode: int = 0o400) -> None:
    """Write a file at once as a whole, for one user."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.write_text(text, encoding="utf-8")
    _own(part, owner, mode)
    part.replace(path)


def _own(path: Path, owner: int, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner, owner)
    path.chmod(mode)


def show(folder: Path) -> None:
    known = json.loads((folder / "all" / "secrets.json").read_text(encoding="utf-8"))
    for what, user, name in (
        ("Airflow", "admin", "airflow_admin"),
        ("OpenSearch Dashboards, all rights", "admin", "opensearch_admin"),
        ("OpenSearch Dashboards, reading", "reader", "opensearch_reader"),
        ("Grafana", "admin", "grafana_admin"),
        ("API (Authorization: Bearer)", "-", "api_token"),
    ):
        sys.stdout.write(f"{what:34} {user:8} {known[name]}\n")


def main() -> None:
    match sys.argv[1:]:
        case ["make", folder]:
            make(Path(folder))
        case ["rotate", folder, first, *others]:
            make(Path(folder), (first, *others))
        case ["show", folder]:
            show(Path(folder))
        case _:
            sys.exit("usage: make_secrets.py make FOLDER | show FOLDER | rotate FOLDER NAME...")


if __name__ == "__main__":
    main()
