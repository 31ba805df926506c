"""Scores of label maps against ground truth: data sets, runs, and label-set similarity."""
