"""Upbit's KRW markets from tick to trade. The map of the package is in ARCHITECTURE.md."""

__version__ = "0.1.0"
