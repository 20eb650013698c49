"""Fashion-MNIST, fetched or brought, proven by SHA-256, for `modelab.fashion_mnist()`.

    python data_scripts/fashion_mnist.py --out FOLDER
    python data_scripts/fashion_mnist.py --out FOLDER --mirror http://127.0.0.1:8000/
    python data_scripts/fashion_mnist.py --out FOLDER --offline FILE ...
"""

import sys

from fetching import main

if __name__ == "__main__":
    sys.exit(main("fashion_mnist"))
