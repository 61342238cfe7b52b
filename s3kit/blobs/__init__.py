"""Bytes under opaque ids, on any storage; which object they belong to is the index's business."""
