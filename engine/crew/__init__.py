"""The processes that torchrun started, one a rank, on any number of machines, doing one job together.

They share no disk. Each has one connection, to rank 0, which leads: it gives the order, collects what the others noted
while they still work, and says at the end with which status all of them exit. Nobody needs torch for it, so they meet
before the long imports begin, and whoever dies from then on is missed at once.
"""
