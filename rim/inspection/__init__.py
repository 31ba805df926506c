"""Looking into a bank: SQL, summaries and the report."""
