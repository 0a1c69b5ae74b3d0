"""What is behind no fault passes: so it is the fault that a suite catches."""

import test_batch_suite
import test_camera_suite
import test_storage_suite
import test_vector_suite

from user_gym.testing.camera_suite import CameraSuite
from user_gym.testing.storage_suite import StorageSuite


class TestStorage(StorageSuite):
    def open(self):
        return test_storage_suite.Faulty()


class TestVector(test_vector_suite.Suite):
    pass


class TestBatch(test_batch_suite.Suite):
    pass


class TestCamera(CameraSuite):
    def make_camera(self):
        return test_camera_suite.Faulty(super().make_camera())
