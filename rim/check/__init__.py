"""`rim check`: does the stack of a preset work on this machine, and does it work well?

`steps` lists what is checked and runs it, in two kinds: `agreement` compares every model's results
with those of its own library by an independent route (`by_transformers`, `by_segment_anything`,
`by_diffusers`), `meaning` looks at what a small bank and photographs come to. `report` writes the
folder that a user can attach to a bug report.
"""
