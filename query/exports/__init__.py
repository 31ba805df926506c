"""Results in the formats of other tools, one module a format; `formats` has the table."""
