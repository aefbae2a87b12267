"""The kernel's edge: loads the programs, reads their records, and asks procfs for what was there before."""
