"""Balances of the simulated account: exact, and never below zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

import msgspec

EXACT = Context(prec=64)
"""Price x volume x (1 + fee) has at most 40 digits; the default 28 would round some of them."""

ZERO = Decimal(0)
QUOTE = "KRW"

_AVERAGE_STEP = Decimal("0.00000001")


class Holding(msgspec.Struct, frozen=True):
    """One currency: what is free to use, what open orders have locked, and the average price paid for all of it."""

    available: Decimal = ZERO
    locked: Decimal = ZERO
    avg_buy_price: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return EXACT.add(self.available, self.locked)


@dataclass(frozen=True)
class Account:
    """Holdings by currency; an absent one is empty."""

    holdings: Mapping[str, Holding]

    def holding(self, currency: str) -> Holding:
        return self.holdings.get(currency, Holding())

    def moved(self, currency: str, *, available: Decimal = ZERO, locked: Decimal = ZERO) -> Account:
        """Give the account after adding to what is available and what is locked; amounts may be negative."""
        old = self.holding(currency)
        new = Holding(EXACT.add(old.available, available), EXACT.add(old.locked, locked), old.avg_buy_price)
        assert new.available >= 0, f"{currency} available would be {new.available}"
        assert new.locked >= 0, f"{currency} locked would be {new.locked}"
        if not new.total:
            new = Holding()
        return Account({**self.holdings, currency: new})

    def bought(self, currency: str, volume: Decimal, funds: Decimal) -> Account:
        """Give the account after base units came in for `funds`, the average price paid brought up to date."""
        old = self.holding(currency)
        paid = EXACT.add(EXACT.multiply(old.avg_buy_price, old.total), funds)
        average = EXACT.divide(paid, EXACT.add(old.total, volume)).quantize(_AVERAGE_STEP, ROUND_HALF_UP, EXACT)
        new = Holding(EXACT.add(old.available, volume), old.locked, average)
        return Account({**self.holdings, currency: new})


def base_of(market: str) -> str:
    return market.partition("-")[2]


def times(*factors: Decimal) -> Decimal:
    """Multiply without rounding."""
    product = Decimal(1)
    for factor in factors:
        product = EXACT.multiply(product, factor)
    return product


def plus(*terms: Decimal) -> Decimal:
    """Add without rounding."""
    total = ZERO
    for term in terms:
        total = EXACT.add(total, term)
    return total


def plain(value: Decimal) -> str:
    """Write a decimal as the private side does: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def balance_object(currency: str, holding: Holding) -> dict[str, str | bool]:
    """Give one entry of `GET /v1/accounts`."""
    return {
        "currency": currency,
        "balance": plain(holding.available),
        "locked": plain(holding.locked),
        "avg_buy_price": plain(holding.avg_buy_price),
        "avg_buy_price_modified": currency == QUOTE,
        "unit_currency": QUOTE,
    }
