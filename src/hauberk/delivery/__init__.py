"""Delivery: outputs, and all that stands between an event and a sink: filter, queue, retry."""
