"""Test settings of the whole checkout. The fixtures suites take are evalkit's pytest plugin."""

pytest_plugins = ["pytester"]
