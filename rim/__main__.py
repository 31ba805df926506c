"""`python -m rim`."""

from rim.cli.main import main

main()
