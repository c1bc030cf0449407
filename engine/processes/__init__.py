"""Ranks as processes: started, connected by torch.distributed, and ended together when one of them fails."""
