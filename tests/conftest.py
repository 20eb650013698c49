"""What all tests share: the checkout's root, and hypothesis settings under which a red build is due to a change."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: pytest runs two workers on two cores

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


@pytest.fixture
def cuda():
    """A CUDA device; where there is none the test is skipped, and says so."""
    import torch
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return torch.device("cuda")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
