"""Questions in SQL about a bank: `connection.connect` and `connection.run_sql` are the way in."""
