"""The models: a family a file, and the registry that finds them by the name in config.json."""
