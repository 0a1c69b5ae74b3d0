"""What holds for every test."""

from __future__ import annotations

import signal

# A shell without job control makes what it puts in the background deaf to Ctrl-C, and so every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
