"""Damaged, contradicting and hostile input, and processes that are killed: what survives what.

PYTHONPATH=tests python -m attack --out FOLDER      # goes on where it stopped; writes the table of docs/robustness.md
"""
