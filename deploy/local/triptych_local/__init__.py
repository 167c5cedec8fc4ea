"""Runs the platform on one machine as supervised processes."""
