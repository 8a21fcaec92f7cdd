"""`python peer_pyupbit.py URL FILE CODES`, in pyupbit's environment: the collector of the 2023 system.

`pyupbit.WebSocketManager` in a process of its own, its queue, `json` and Python logging into a file; not synced.
Only the address is changed; the library has no option for it.
"""

import json
import logging
import multiprocessing
import sys

import pyupbit
import pyupbit.websocket_api
import websockets


class Redirected:
    def __init__(self, url):
        self._url = url

    def __getattr__(self, name):
        return getattr(websockets, name)

    def connect(self, _uri, **options):
        return websockets.connect(self._url, **options)


def main(url, path, codes):
    pyupbit.websocket_api.websockets = Redirected(url)
    logger = logging.getLogger("ticker")
    logger.setLevel(logging.INFO)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    manager = pyupbit.WebSocketManager("ticker", codes)
    while True:
        logger.info(json.dumps(manager.get()))


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")  # the changed address is inherited
    main(sys.argv[1], sys.argv[2], sys.argv[3].split(","))
