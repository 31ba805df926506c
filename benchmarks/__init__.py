"""Measurements: accuracy, the miniature stack's gates, speed, memory, full size; and the demo."""
