"""The drivers of the Franka arms: the FR3 through franky-control, the FER through panda-python."""
