"""The exchange's refusals, as values: status, name and message of the error body."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that the exchange answers with an error; never leaves the simulator.

    Attributes:
        name: a string on the private side, the status as an integer on the public one.
    """

    def __init__(self, status: int, name: str | int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message

    @property
    def body(self) -> dict[str, dict[str, str | int]]:
        return {"error": {"name": self.name, "message": self.message}}


MISSING_PARAMETER = "Missing request parameter error. Check the required parameters!"
INVALID_PARAMETER = "Invalid parameter. Check the given value!"
TYPE_MISMATCH = "Type mismatch error. Check the parameters type!"


def public_refusal(status: int, message: str) -> RefusedError:
    """Give a refusal of the public side, where the error's name is the status."""
    return RefusedError(status, status, message)


def order_refusal(name: str, message: str) -> RefusedError:
    """Give a refusal of an order: status 400 and a name that clients branch on."""
    return RefusedError(400, name, message)
