"""The visual foundation models behind small interfaces, and the region geometry they share."""
