"""Repositories on the Hugging Face Hub: their headers by range request, never a byte of a tensor.

Everything a user has set up for the Hub counts as huggingface_hub reads it: token, `HF_ENDPOINT`, `HF_HOME`, proxies,
offline mode. The cache is read, file by file, and never written: a snapshot folder with a config.json and no weights
looks like a download to other programs. What is fetched instead is small.

Only `address` may be imported without huggingface_hub, which takes a third of a second and is rarely needed.
"""
