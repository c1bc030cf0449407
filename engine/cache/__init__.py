"""Keys and values of earlier tokens: which blocks are whose, and the tensors behind them."""
