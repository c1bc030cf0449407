"""Reads checkpoints, drives a load, audits the trace and says what is wrong."""
