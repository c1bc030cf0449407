"""What was found: the list, what each finding is about, the counts at the top, and what can be copied."""
