"""Online: photo -> proposals -> regions -> features -> matches -> label map."""
