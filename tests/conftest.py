"""What all tests share: the checkout's root, and hypothesis settings under which a red build is due to a change."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: pytest runs two workers on two cores

import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A job in the background or under nohup ignores Ctrl-C, and so do its children. The tests send it to themselves and to
# children, so it means the same however they were started; a handler that is set here is not inherited, the default is.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

HURRIED = os.environ.get("MODELAB_FAST", "") not in ("", "0")
settings.register_profile("house", derandomize=True, deadline=None, max_examples=15 if HURRIED else 50,
                          suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


# Processor seconds of the dearest test files, roughly; those of a chapter stand in its notebook. Any other counts as 1.
SECONDS = {"test_contributing": 95, "test_browser": 70, "test_audit": 60, "test_fuzz": 50, "test_coverage": 45, "test_lab": 40,
           "test_distributed": 35, "test_end_to_end": 30, "test_readme": 25, "test_training": 25, "test_cli": 20, "test_report": 20,
           "test_package": 20, "test_bench": 15, "test_examples": 40, "test_foreign_networks": 20, "test_data": 20, "test_copies": 15,
           "test_chapters": 15, "test_edition": 45, "test_exercises": 60, "test_monitor": 35, "test_questions": 13, "test_missing": 15, "test_compare": 15}


def seconds(item) -> float:
    """What the file of a test takes, its other tests included."""
    if hasattr(item.parent, "nb"):  # a cell of a notebook
        return item.parent.nb.metadata.get("modelab", {}).get("seconds", 1)
    return SECONDS.get(item.path.stem, 1)


def pytest_collection_modifyitems(items):
    """Dear files first: pytest-xdist hands out whole files in this order, and the last ones should be short."""
    items.sort(key=lambda item: (-seconds(item), str(item.path)))


@pytest.fixture
def cuda():
    """A CUDA device; where there is none the test is skipped, and says so."""
    import torch
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return torch.device("cuda")


@pytest.fixture(scope="module")
def chromium(request, tmp_path_factory):
    """A headless Chromium with a profile of its own and the `BROWSER` settings of the test file; skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as play:
        context = play.chromium.launch_persistent_context(tmp_path_factory.mktemp("profile"), executable_path=program, headless=True,
                                                          **getattr(request.module, "BROWSER", {}))
        yield context
        context.close()


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
