"""The MuJoCo twins. Nothing outside this package imports mujoco."""
