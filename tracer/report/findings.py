"""How findings are shown wherever there is room for a page: signs and words of severities, and how many of one code."""

from __future__ import annotations

from collections.abc import Mapping

from mappings.findings import Severity

SIGNS: Mapping[Severity, str] = {"error": "✗", "warning": "!", "info": "i"}
"""A remark has a sign of its own: it was looked at, as nothing with a dot was."""
CALLED: Mapping[Severity, str] = {"error": "error", "warning": "warning", "info": "remark"}
MOST_OF_A_CODE = 100
"""More help nobody; --json has all."""
