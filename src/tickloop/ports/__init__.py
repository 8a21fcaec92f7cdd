"""What Tickloop needs from the outside, as Protocols. Each has one contract suite in `tests/contract`.

Adapters implement these; services take them as arguments; `bootstrap` picks. Nothing here names a product.
"""

from tickloop.ports.clock import Clock
from tickloop.ports.collecting import DiskShortage, GapLog, Journal, MarketLog, Notifier, SessionLog
from tickloop.ports.exchange import Balance, Broker, MarketData, OrderLog, OrderRequest, VenueFill, VenueOrder
from tickloop.ports.feeds import AdjustableFeed, BatchFeed, Disconnected, Frame, Frames, TradeFeed
from tickloop.ports.models import Decision, Model, ModelFamily, ModelRegistry, ModelVersion
from tickloop.ports.recording import MakeFact, RecordedSession, SessionRecorder, SessionStep
from tickloop.ports.shipping import (
    Contents,
    LineBatch,
    LineSource,
    OldSegment,
    Place,
    Prunable,
    RefusedLine,
    RefusedLines,
    SegmentKeeper,
)
from tickloop.ports.stores import Delivery, EventSink, Lake, RawCounts, RawRead, RawStore, Warehouse, WindowLock

__all__ = [
    "AdjustableFeed",
    "Balance",
    "BatchFeed",
    "Broker",
    "Clock",
    "Contents",
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
    "LineBatch",
    "LineSource",
    "MakeFact",
    "MarketData",
    "MarketLog",
    "Model",
    "ModelFamily",
    "ModelRegistry",
    "ModelVersion",
    "Notifier",
    "OldSegment",
    "OrderLog",
    "OrderRequest",
    "Place",
    "Prunable",
    "RawCounts",
    "RawRead",
    "RawStore",
    "RecordedSession",
    "RefusedLine",
    "RefusedLines",
    "SegmentKeeper",
    "SessionLog",
    "SessionRecorder",
    "SessionStep",
    "TradeFeed",
    "VenueFill",
    "VenueOrder",
    "Warehouse",
    "WindowLock",
]
