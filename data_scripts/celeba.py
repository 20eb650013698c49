"""CelebA from files that you have: terms agreed to, proven by SHA-256, unpacked safely, for `modelab.data.frames.read_celeba`.

Nothing is downloaded: CelebA is handed out by its authors, at the Multimedia Laboratory of the Chinese University of
Hong Kong, for non-commercial research and education. Ask for img_align_celeba.zip and list_attr_celeba.txt at
https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html; then

    python data_scripts/celeba.py --out FOLDER --agree --offline img_align_celeba.zip list_attr_celeba.txt
"""

import sys

from fetching import main

if __name__ == "__main__":
    sys.exit(main("celeba"))
