"""What a bank is: records, tables, ids, manifest, vocabulary, settings, errors."""
