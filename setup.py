"""Build modelab from settings.ini; the wheel holds the chapters and their recorded results, too."""

import shlex
import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PARSER = ConfigParser(delimiters=["="])
PARSER.read(ROOT / "settings.ini", encoding="utf-8")
CFG = PARSER["DEFAULT"]


def words(key: str) -> list[str]:
    """The whitespace-separated words of a setting."""
    return shlex.split(CFG.get(key, ""))


class BuildWithChapters(build_py):
    """Copies chapters and recorded results into a wheel, as modelab/chapters and modelab/benchmarks.

    An editable install reads both from the checkout.
    """

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for notebook in sorted((ROOT / CFG["nbs_path"]).glob("**/*.ipynb")):
            inside = notebook.relative_to(ROOT / CFG["nbs_path"])
            if any(part.startswith((".", "_")) for part in inside.parts):
                continue
            target = Path(self.build_lib, CFG["lib_path"], "chapters", inside)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(notebook, target)
        for record in sorted((ROOT / "benchmarks").glob("**/*.json")):
            target = Path(self.build_lib, CFG["lib_path"], record.relative_to(ROOT))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(record, target)


README = ROOT / "README.md"
setup(
    name=CFG["lib_name"],
    version=CFG["version"],
    description=CFG["description"],
    long_description=README.read_text(encoding="utf-8") if README.exists() else CFG["description"],
    long_description_content_type="text/markdown",
    license_expression=CFG["license"],
    author=CFG["author"],
    keywords=words("keywords"),
    url=f"https://github.com/{CFG['repository']}" if CFG.get("repository") else None,
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=f">={CFG['min_python']}",
    packages=find_packages(include=[CFG["lib_path"], CFG["lib_path"] + ".*"]),
    package_data={CFG["lib_path"]: words("package_data")},
    cmdclass={"build_py": BuildWithChapters},
    install_requires=words("requirements"),
    extras_require={key.removesuffix("_requirements"): words(key) for key in CFG if key.endswith("_requirements")},
    entry_points={
        "console_scripts": words("console_scripts"),
        "nbdev": [f"{CFG['lib_name']} = {CFG['lib_path']}._modidx:d"],
    },
)
