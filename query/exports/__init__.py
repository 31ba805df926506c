"""Results in the formats of other tools: `formats` has the table, and each format its module."""

from query.exports.formats import save
from query.exports.regions import to_detections

__all__ = ["save", "to_detections"]
