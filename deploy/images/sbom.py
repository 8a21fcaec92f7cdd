"""Print what an image is made of, as CycloneDX 1.5: distributions of Python, packages of Debian, gems of Ruby.

Needs nothing but Python, runs while the image is built, and gives the same text for the same contents.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the image")
    parser.add_argument("--python", type=Path, action="append", default=[], help="a virtual environment")
    parser.add_argument("--dpkg", type=Path, default=Path("/var/lib/dpkg/status"), help="Debian's list")
    parser.add_argument("--os-release", type=Path, default=Path("/etc/os-release"), help="which Debian it is")
    parser.add_argument("--gems", type=Path, help="folder of gem specifications")
    asked = parser.parse_args()
    found = [*_debian(asked.dpkg, _release(asked.os_release))]
    for environment in asked.python:
        found += _python(environment)
    if asked.gems is not None:
        found += _gems(asked.gems)
    json.dump(document(asked.name, found), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


def document(name: str, components: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the bill of one image; components are sorted and named once."""
    by_ref = {one["bom-ref"]: one for one in components}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": name, "bom-ref": name}},
        "components": [by_ref[ref] for ref in sorted(by_ref)],
    }


def _component(kind: str, namespace: str, name: str, version: str, licence: str = "") -> dict[str, Any]:
    place = f"{namespace}/" if namespace else ""
    purl = f"pkg:{kind}/{place}{quote(name)}@{quote(version)}"
    found = {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}
    return {**found, "licenses": [{"license": {"name": licence}}]} if licence else found


def _python(environment: Path) -> Iterator[dict[str, Any]]:
    folders = [str(folder) for folder in sorted(environment.glob("lib/python3*/site-packages"))]
    if not folders:
        sys.exit(f"sbom: {environment} is no environment of Python")
    for one in distributions(path=folders):
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        yield _component("pypi", "", name, one.version, _licence(one))


def _licence(distribution: Distribution) -> str:
    """Give the licence's name; where the field holds its whole text, what the classifiers say."""
    metadata = distribution.metadata
    for field in ("License-Expression", "License"):
        text = metadata[field].strip() if field in metadata else ""
        if text and "\n" not in text and len(text) < 100:
            return text
    known = [one.rsplit(" :: ", 1)[-1] for one in metadata.get_all("Classifier") or [] if one.startswith("License ::")]
    return ", ".join(known)


def _debian(status: Path, release: str) -> Iterator[dict[str, Any]]:
    for paragraph in status.read_text(encoding="utf-8").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if re.match(r"^[A-Za-z-]+: ", line))
        if fields.get("Status", "").endswith(" installed"):
            one = _component("deb", "debian", fields["Package"], fields["Version"])
            one["purl"] += f"?arch={fields['Architecture']}&distro={release}"
            one["bom-ref"] = one["purl"]
            yield one


def _release(path: Path) -> str:
    fields = dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    return f"{fields.get('ID', 'linux')}-{fields.get('VERSION_ID', 'unknown')}".replace('"', "")


def _gems(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.gemspec")):
        found = re.match(r"(.+?)-(\d[^-]*)(?:-[a-z].*)?$", path.stem)
        if found is None:
            sys.exit(f"sbom: {path.name} has no version")
        yield _component("gem", "", found[1], found[2])


if __name__ == "__main__":
    main()
