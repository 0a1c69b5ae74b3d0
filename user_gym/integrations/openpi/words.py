"""What our own two ends say to each other beyond openpi's protocol. Its unmodified ends neither send nor need any of it.

metadata  "user_gym": 1                 the server is one of ours, of this version
request   "user_gym.tag": n             a number that the answer repeats
          "user_gym.deterministic"      as in Policy.act
          "user_gym.order": "reset"     an episode begins; with "seed", or None
          "user_gym.order": "load"      weights: "version", "spec_hash", "arrays"
answer    "user_gym.tag", "user_gym.version" of the weights that made it; "user_gym.extra.NAME": ActionChunk.extra
          "user_gym.error": text        what was wrong with a request of ours; the connection goes on
"""

from __future__ import annotations

OURS, PROTOCOL = "user_gym", 1
TAG = "user_gym.tag"
DETERMINISTIC = "user_gym.deterministic"
ORDER, RESET, LOAD = "user_gym.order", "reset", "load"
VERSION = "user_gym.version"
EXTRA = "user_gym.extra."
ERROR = "user_gym.error"
