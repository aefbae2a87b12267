"""The doors: what others may ask of a running agent."""
