"""A bank as static HTML pages that open from the disk: `write.write_report` is the way in."""
