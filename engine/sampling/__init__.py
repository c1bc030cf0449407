"""From logits to the next token: what a request may ask for, and how it is drawn."""
