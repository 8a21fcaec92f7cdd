"""A missed deadline of a DAG run is told to whoever the settings name."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tickloop.entrypoints.dags.bodies import deadline_missed


def test_missed_deadline_is_told_to_the_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the context that Airflow 3.3 hands to a callback: the run as plain values."""
    bodies: list[dict[str, object]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("TICKLOOP_HOME", str(tmp_path))
        monkeypatch.setenv("TICKLOOP_ALERTS__WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/hook")
        run = {"dag_id": "collect_hour", "dag_run_id": "r1", "state": "running", "partition_key": "2024-01-02T03"}
        try:
            deadline_missed(context={"dag_run": run, "deadline": {}})
        finally:
            server.shutdown()
            thread.join()

    assert [body["subject"] for body in bodies] == ["deadline_missed"]
    assert "DAG collect_hour is not through by its deadline: run r1, running" in json.dumps(bodies[0])
