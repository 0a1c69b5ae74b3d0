"""The protocol twin of Franka's control box, at the level of its packets: robot protocol 10 (FR3) and 5 (FER)."""
