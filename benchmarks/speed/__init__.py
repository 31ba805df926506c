"""Speed, side by side with what one would take instead; each of `capture`, `build` and `proposals`
is a program of its own.
"""
