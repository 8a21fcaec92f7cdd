"""What Tickloop needs from the outside, as Protocols. Each has one contract suite in `tests/contract`.

Adapters implement these; services take them as arguments; `bootstrap` picks. Nothing here names a product.
"""

from tickloop.ports.clock import Clock
from tickloop.ports.collecting import DiskShortage, GapLog, Journal, Notifier, SessionLog
from tickloop.ports.exchange import Balance, Broker, MarketData, OrderLog, OrderRequest, VenueFill, VenueOrder
from tickloop.ports.feeds import AdjustableFeed, BatchFeed, Disconnected, Frame, Frames, TradeFeed
from tickloop.ports.models import Decision, Model, ModelFamily, ModelRegistry, ModelVersion
from tickloop.ports.stores import Delivery, EventSink, Lake, RawRead, RawStore, Warehouse, WindowLock

__all__ = [
    "AdjustableFeed",
    "Balance",
    "BatchFeed",
    "Broker",
    "Clock",
    "Decision",
    "Delivery",
    "Disconnected",
    "DiskShortage",
    "EventSink",
    "Frame",
    "Frames",
    "GapLog",
    "Journal",
    "Lake",
    "MarketData",
    "Model",
    "ModelFamily",
    "ModelRegistry",
    "ModelVersion",
    "Notifier",
    "OrderLog",
    "OrderRequest",
    "RawRead",
    "RawStore",
    "SessionLog",
    "TradeFeed",
    "VenueFill",
    "VenueOrder",
    "Warehouse",
    "WindowLock",
]
