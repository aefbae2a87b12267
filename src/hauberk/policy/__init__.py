"""Policies: documents to rules, rules to tables, actions to verdicts. Pure: no clock, no I/O."""
