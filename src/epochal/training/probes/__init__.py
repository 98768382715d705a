"""Probes: what is measured while training for the sake of diagnosis, one kind a module, and how cheaply."""
