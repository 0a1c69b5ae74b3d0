"""What docs/cap.md shows of weights can be copied: the example that needs no GPU runs."""

import os
import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "cap.md"


def test_the_example_of_weights_under_the_cap_runs():
    section = DOCUMENT.read_text(encoding="utf-8").split("## Weights under the cap\n")[1].split("\n## ")[0]
    code = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]
    names = {}
    exec(code.replace("capped-policy", f"capped-policy-{os.getpid()}"), names)
    assert names["relay"].carried == names["learner"].version == 199
    assert names["copier"].copied >= names["weights"]["actor"].nbytes
