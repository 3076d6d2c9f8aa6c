"""Damage to the files of a broker, and what a broker may make of it: `python -m tests.format_fuzz`."""
