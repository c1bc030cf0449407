"""config.json beside what the tensors say: fields, what reads them, whether shapes agree."""
