"""Beside it lies `toy_training`: this file's folder is on the path of every test below it."""
