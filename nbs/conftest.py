"""Makes nbval read chapters the way nbdev and data_scripts/run_notebooks.py do."""

import os
import re

os.environ.setdefault("IN_TEST", "1")          # an nbdev_export() cell becomes a no-op
os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core per kernel: two kernels run at a time
EVAL_FALSE = re.compile(r"^#\|\s*eval:\s*false\b", re.M)


def pytest_collection_modifyitems(items):
    """Skip `#| eval: false` cells, which nbval alone would execute, and wait longer for a busy kernel's output."""
    for item in items:
        cell = getattr(item, "cell", None)
        if cell is not None:
            item.output_timeout = 120  # nbval's own 5 s end a sound cell now and then
        if cell is not None and EVAL_FALSE.search(cell.source):
            item.options["skip"] = True
