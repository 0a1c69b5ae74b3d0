"""What is said over the link, as bytes: messages, the lanes they travel in, and the fragments that share one stream.

Everything here is a pure function of bytes: no socket, no clock. Foreign bytes become a message or a `BadBlock`, and nothing
else: sizes are compared with limits before memory is taken, memory grows with what came, and nothing is ever unpickled.
docs/link.md has the same for other implementers.
"""
