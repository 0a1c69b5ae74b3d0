"""Robots as data and pure maths: specs, poses, kinematics, limits, and the table of backends. No device is opened here."""
