"""`trace-load --html FILE`: one page that says what was traced, for a pull request or an incident.

It fetches nothing, tells the same without scripts, and is the same for the same run. `page.py` gathers what it says,
`render.py` makes HTML of it; only that imports jinja2.
"""
