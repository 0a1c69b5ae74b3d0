"""`python -m user_gym.cli` is the command `user-gym`."""

import sys

from user_gym.cli.main import main

sys.exit(main())
