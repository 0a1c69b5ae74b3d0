"""Agents as files that one reads from top to bottom. They are run from the checkout and are no part of the package."""
