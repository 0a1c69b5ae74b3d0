"""Adapters to other frameworks, one file each. Nothing else of user_gym imports them."""
