"""One stream of messages between two machines: what goes first, how much is under way, and when the other side is gone.

`transport` is the only file here that knows gRPC. asyncio ends at the borders of `system.link`: see `loop`.
"""
