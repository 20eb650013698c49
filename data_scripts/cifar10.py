"""CIFAR-10 in its binary version, fetched or brought, proven by SHA-256, unpacked, for `data.cifar10()`.

    python data_scripts/cifar10.py --out FOLDER
    python data_scripts/cifar10.py --out FOLDER --mirror http://127.0.0.1:8000/
    python data_scripts/cifar10.py --out FOLDER --offline FILE ...
"""

import sys

from fetching import main

if __name__ == "__main__":
    sys.exit(main("cifar10"))
