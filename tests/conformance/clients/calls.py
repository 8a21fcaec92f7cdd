"""What the scripts of this folder share. They run in environments of their own, without Tickloop."""

import json
import sys
import urllib.request


class Calls:
    """Makes calls of a client by name and keeps what came back, or the class and text of the error."""

    def __init__(self):
        self.base, self.access, self.secret = sys.argv[1:4]
        self.results = {}

    def __call__(self, name, function, *args, **kwargs):
        try:
            self.results[name] = function(*args, **kwargs)
        except Exception as exc:  # the error of the client is the result
            self.results[name] = {"error": type(exc).__name__, "text": str(exc)[:500]}
        return self.results[name]

    async def later(self, name, awaitable):
        try:
            self.results[name] = await awaitable
        except Exception as exc:
            self.results[name] = {"error": type(exc).__name__, "text": str(exc)[:500]}
        return self.results[name]

    def fault(self, **fields):
        """Order a fault of the simulator."""
        body = json.dumps(fields).encode()
        request = urllib.request.Request(self.base + "/control/faults", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).read()

    def is_subscribed(self, *types):
        """Tell whether the simulator has these stream types on its list."""
        with urllib.request.urlopen(self.base + "/control/status", timeout=10) as answer:
            subscribers = json.load(answer)["subscribers"]
        return set(types) <= {kind for one in subscribers for kind in one["types"]}

    def finish(self):
        json.dump(self.results, sys.stdout, default=str)
