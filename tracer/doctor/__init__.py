"""The check-up of a checkpoint: its files one by one, then together, then against what config.json and rows say.

A file that cannot be read is a finding, and the others are looked at all the same. Nothing in a checkpoint is run, and
of tensors at most a few pages are read.
"""

from __future__ import annotations

from tracer.doctor.examination import Examination, Values, examine

__all__ = ["Examination", "Values", "examine"]
