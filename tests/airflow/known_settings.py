"""Run in Airflow's environment: print those of the variables on stdin that name no setting of Airflow."""

from __future__ import annotations

import sys

from airflow.configuration import conf


def main() -> None:
    known = conf.configuration_description
    for line in sys.stdin.read().splitlines(keepends=True):
        _, section, option = line.split("__")
        if option.strip().lower() not in known.get(section.lower(), {}).get("options", {}):
            sys.stdout.write(line)


if __name__ == "__main__":
    main()
