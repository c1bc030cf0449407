"""Keys and values of earlier tokens: which blocks are whose, the tensors behind them, and the memory there is."""
