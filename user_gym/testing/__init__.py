"""Conformance suites as shipped code: a new backend, robot or environment subclasses one in three lines.

`robot_suite.RobotSuite` asks what every Robot must do, `env_suite.EnvSuite` what every environment id must do.
"""
