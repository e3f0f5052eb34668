"""Measurements of Headway beside its peers. `python -m benchmarks` prints them as one table."""
