"""The model at a glance: a picture, its facts with what says so, and how it can be divided."""
