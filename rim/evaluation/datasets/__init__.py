"""Data sets with ground truth: the official folder layouts, read as samples of classes.

`voc`, `context`, `ade`, `coco` and `folder` say which layouts they read and what the numbers in
their label maps mean; `predictions` reads the label maps of other systems.
"""
