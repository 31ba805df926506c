"""The command `rim`."""
