"""The budgets, measured. `make bench` runs all; `python -m benchmarks NAME…` some."""
