"""The bank itself: tables, files, ids, vocabulary, settings, error classes; no model library."""
