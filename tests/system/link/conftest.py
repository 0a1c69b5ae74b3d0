"""Beside it lies `fleet`: this file's folder is on the path of every test below it."""
