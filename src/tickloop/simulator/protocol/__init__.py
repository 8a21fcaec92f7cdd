"""The exchange's REST and WebSocket protocol, as clients see it."""
