"""The driver of the ARX arms: X5 and L5, over CAN."""
