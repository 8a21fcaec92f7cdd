"""Where a bucket is, and with which key it is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class S3Address:
    """The values of the settings' section `s3`.

    Attributes:
        endpoint: address of the server; None is Amazon's own.
        access_key: with `secret_key`; both None: those that the machine has, as Amazon's programs find them.
        ca_file: certificate of the authority that signed the server's; None: those of the system.
        timeout_s: seconds until one try of a request is given up.
        tries: tries of a request before it is reported, with back-off between them.
    """

    endpoint: str | None
    region: str
    bucket: str
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout_s: float = 30.0
    tries: int = 4

    @property
    def server(self) -> str:
        return f"S3 at {self.endpoint or f'Amazon, {self.region}'}"
