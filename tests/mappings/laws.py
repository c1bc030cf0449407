"""How the property tests of this folder run: the same examples every time, and no clock."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

law = settings(derandomize=True, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
