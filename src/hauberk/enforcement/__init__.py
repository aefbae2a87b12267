"""Policies in force: read from where they are kept, compiled for the workloads there are, put into the kernel."""
