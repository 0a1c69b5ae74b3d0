"""The protocol twin of the ARX arms, at the level of their CAN frames."""
