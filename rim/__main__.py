"""`python -m rim`."""

from rim.main import main

main()
