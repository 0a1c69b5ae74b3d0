"""Conformance suites as shipped code: a new backend, robot or environment subclasses one in three lines.

`robot_suite.RobotSuite` asks what every Robot must do and `batch_suite.BatchSuite` what every RobotBatch, `env_suite.EnvSuite`
what every environment id, `vector_suite.VectorSuite` every vector environment, `storage_suite.StorageSuite` every Storage and
`camera_suite.CameraSuite` every Camera.
"""
