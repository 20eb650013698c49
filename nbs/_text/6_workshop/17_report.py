# %% [markdown]
# # The report and the command of the audit
# > Which examples are missing or copied, in which files, and is it worse than last time?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How does an audit reach a person, a script and a CI job? |
# | **You will be able to** | read a report as text, HTML, JSON and JUnit; compare it with an earlier one; let `modelab audit` decide in CI |
# | **Needs** | [4.2](../4_evidence/02_audit.ipynb) |
# | **Time** | seconds |
#
# This chapter is for people who act on an audit, and for contributors. If you only need the command: `modelab audit made/ --reference train/ --out report.html` (section *The command*; for CI see *In a CI job*). In Python, `audit(...)` of chapter [4.2](../4_evidence/02_audit.ipynb) returns the report. Chapter 4.2 explains the tests. The examples are 8×8 scans of digits: a generator that never makes a four and copies some training scans.

# %%
#| default_exp evaluation.report

# %%
#| export
"The report of an audit: verdict, JSON, JUnit, comparison with an earlier one, and an HTML page."
from __future__ import annotations

import html
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelab._index import VERSION
from modelab.core.plotting import axes, FAKE, Picture, REAL, scatter
from modelab.evaluation.attributes import AttributeTable, p_cell, p_text
from modelab.evaluation.conditions import ConditionRow, ConditionTable, NOT_TESTED
from modelab.evaluation.page import (_as_images, chart, gallery, html_file, html_lines, html_rows,
                                     join_words, on_one_scale, relative_link, save_document,
                                     STYLE, xml_safe)
from modelab.evaluation.precision_recall import pr_curve

# %%
#| export evaluation.baseline
"A report beside an earlier one: what is worse, what is better, and what is a new alarm."
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from modelab.evaluation.page import join_words
from modelab.evaluation.report import FAULT, Report

# %%
#| export evaluation.page
"What the pages of reports are made of: pictures, galleries, tables, links, and the frame."
from __future__ import annotations

import base64
import html
import io
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from torch import Tensor

from modelab.core.files import atomic_write
from modelab.core.plotting import Picture

# %%
#| export evaluation.missing_page
"Missing groups as HTML: a map and a card for each; a click shows a group's neighbourhoods."
from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from modelab.core.plotting import FAKE, MISSING, REAL
from modelab.evaluation.attributes import p_text
from modelab.evaluation.page import (_as_images, _data_address, _figure, html_file, html_lines,
                                     html_rows, on_one_scale, relative_link, STYLE)

# %%
#| export evaluation.audit_command
"The command `modelab audit`: files in, a verdict, reports and an exit status out."
from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import torch

from modelab._index import VERSION
from modelab.core.checks import check_int, check_packages
from modelab.core.registry import register_command
from modelab.data.feature_cache import cached, content_key
from modelab.data.labels import attribute_names, LabelFile, LabelSet, read_labels
from modelab.data.matching import match_sources
from modelab.data.readers import open_samples, SampleFile
from modelab.evaluation.annotations import Annotations, matched_attributes, matched_classes
from modelab.evaluation.attributes import check_pairs
from modelab.evaluation.audit import audit, AUDIT_NEIGHBOURS
from modelab.evaluation.baseline import (changes_since, earlier_findings, worse_or_not,
                                         worse_parts)
from modelab.evaluation.feature_networks import feature_network
from modelab.evaluation.page import utf8_text, write_report
from modelab.evaluation.report import html_document, junit_xml, Report

# %%
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

from modelab.core.checks import error_message
from modelab.course.notebooks import patch
from modelab.evaluation.page import utf8_text

# %% [markdown]
# ## What a report holds
# The result of each test is one row, a `Finding`.

# %%
#| export
@dataclass(frozen=True)
class Finding:
    "One test of an audit: what it found in your samples, and what perfection and noise give."
    test: str
    alarm: bool
    value: float  # of your samples
    low: float  # of an interval that holds the true value with a chance of 95 % or more
    high: float
    floor: float  # expected of a perfect generator with as many samples
    null: float | None  # of uniform noise; None: not measured
    p: float  # chance of so bad a value for a perfect generator
    says: str  # the same in words


# %% [markdown]
# An `Example` has its place in its source, from 0, and its file if it has one. A suspicious sample carries the training example that it may be a copy of.

# %%
#| export
@dataclass(frozen=True)
class Example:
    "One example that a report names."
    index: int  # row of its source, from 0
    value: float  # samples near it, distance, or ratio of distances
    flagged: bool  # beyond the plain rule of its list
    file: str | None = None
    link: str | None = None  # address of the file
    source: Example | None = None  # training example that it may be a copy of
    exact: bool = False  # equal to it, value by value
    change: str | None = None  # what was done to the training example


# %% [markdown]
# `name` is the file, or the row.

# %%
#| export
@patch(as_prop=True)
def name(self: Example) -> str:
    "The file, or the row of the array."
    return self.file or f"row {self.index}"


# %% [markdown]
# `to_json` prepares it for JSON. What is unknown is left out.

# %%
#| export
@patch
def to_json(self: Example, measure: str) -> dict[str, Any]:
    "The example as plain JSON; `measure` is the name of its value."
    found = {"index": self.index, "file": self.file, measure: self.value}
    if self.source:
        found |= {"exact": self.exact, "change": self.change,
                  "source": self.source.to_json("ratio" if self.change else "distance")}
    return {key: value for key, value in found.items() if value is not None}


# %% [markdown]
# A `MissingKind` is a group of real examples that is missing, as chapter [4.3](../4_evidence/03_missing.ipynb) finds it:

# %%
#| export
@dataclass(frozen=True)
class MissingKind:
    "A group of real examples that the samples leave out."
    says: str  # in words
    share: float  # of the real data
    samples_share: float
    p: float
    listed: list[Example]  # of the reference, the most typical first


# %% [markdown]
# A page shows the first three of them.

# %%
#| export
SHOWN_KINDS = 3


# %% [markdown]
# A `Report` holds the findings and the examples. It says in plain words what was found.

# %%
#| export
@dataclass
class Report:
    "What an audit found. `sound` if no test raised an alarm; `status` 0 or 1 as an exit status."
    findings: list[Finding]
    classes: dict[str, dict[str, float]]  # by class: share, low, high, expected, p, starved
    space: str  # what distances were taken in
    sizes: dict[str, int]  # examples that were looked at
    level: float  # chance that a perfect generator raises any alarm
    neighbours: int  # that make a neighbourhood
    kinds: list[MissingKind] = field(default_factory=list)  # that are missing
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)  # without alarm
    notes: list[str] = field(default_factory=list)  # on the data
    seen: dict[str, float | None] = field(default_factory=dict)  # smallest fault seen, by test
    listed: dict[str, list[Example]] = field(repr=False, default_factory=dict)
    examples: dict[str, Tensor] = field(repr=False, default_factory=dict)  # such as "missing"
    features: dict[str, Tensor] = field(repr=False, default_factory=dict)  # such as "samples"
    attributes: AttributeTable | None = None
    conditions: ConditionTable | None = None
    since: str = ""  # worse than an earlier report, or not

    def __repr__(self) -> str:
        return report_text(self)

    def _repr_html_(self) -> str:
        return html_page(self)


# %% [markdown]
# The search for transformed copies is not made on noise, so its column is empty.

# %%
#| export
def _null_text(found: Finding) -> str:
    "The value of noise, or a dash."
    return "–" if found.null is None else f"{found.null:.3f}"


# %% [markdown]
# As text, a report has these parts in order: the verdict, the coverage, what was found, the worst examples by name, the notes, the tables, what was not found, and a line to cite. The notes come before the tables, since a note may say that these cannot be trusted. First the examples by name:

# %%
#| export
def _named_examples(report: Report) -> list[str]:
    "The first examples of missing groups and of copies that the verdict tells of."
    lines = [f"missing, group {i + 1}: {', '.join(e.name for e in kind.listed[:3])}"
             for i, kind in enumerate(report.kinds[:SHOWN_KINDS])]
    for f in report.findings:
        kind = {"copies": "copied"}.get(f.test, f.test)
        if f.alarm and kind in ("copied", "transformed"):
            pairs = [f"{e.name} from {e.source.name}" + f" ({e.change})" * bool(e.change)
                     for e in report.listed.get(kind, [])[:3] if e.flagged and e.source]
            lines += [f"{kind}: {'; '.join(pairs)}"] * bool(pairs)
    return lines


# %% [markdown]
# `report_text` writes all parts:

# %%
#| export
def report_text(report: Report) -> str:
    "The report as text."
    width = max(9, *(len(f.test) + 1 for f in report.findings))
    lines = [*filter(None, [report.since]), report.verdict, report.coverage, *report.found,
             *_named_examples(report), *(f"note: {note}" for note in report.notes),
             f"{'':{width}}{'yours':>8} {'≥ 95 % interval':>17} "
             f"{'floor':>8} {'null':>8} {'p':>8}"]
    for f in report.findings:
        lines.append(f"{f.test:{width}}{f.value:8.3f} [{f.low:7.3f}, {f.high:6.3f}] {f.floor:8.3f} "
                     f"{_null_text(f):>8} {p_cell(f.p):>8}" + ("  ALARM" if f.alarm else ""))
    lines += [repr(table) for table in (report.attributes, report.conditions) if table]
    lines += [f"{name}: {v['samples']:.4g} (held out: {v['holdout']:.4g})"
              for name, v in report.numbers.items()]
    return "\n".join([*lines, *report.not_found, report.protocol, report.footnote])


# %% [markdown]
# ## The verdict
# `starved` lists the classes that the generator makes too rarely: less than half of their share in held-out data. The test for this is part of the joint rate of false alarms.

# %%
#| export
@patch(as_prop=True)
def starved(self: Report) -> list[str]:
    "Classes below half of their share."
    return [name for name, c in self.classes.items() if c["starved"]]


# %% [markdown]
# `unlike` lists two other faults of this kind: attributes whose rate differs, and conditions that are not covered.

# %%
#| export
@patch(as_prop=True)
def unlike(self: Report) -> list[str]:
    "Attributes and conditions that alarm, in words."
    said = [f"{row.name} too {'rare' if row.rate < row.data_rate else 'common'}"
            for row in (self.attributes.rows if self.attributes else []) if row.alarm]
    return said + [f"condition {row.condition} {'not covered' if row.samples else 'not made'}"
                   for row in (self.conditions.rows if self.conditions else []) if row.alarm]


# %% [markdown]
# `sound` is the short answer: no alarm, no such class, attribute or condition, and no kind that is missing.

# %%
#| export
@patch(as_prop=True)
def sound(self: Report) -> bool:
    "Whether no test raised an alarm, no class is below half of its share, no kind is missing."
    alarms = any(found.alarm for found in self.findings)
    return not (self.starved or self.kinds or self.unlike or alarms)


# %% [markdown]
# `status` turns this answer into an exit status for scripts.

# %%
#| export
@patch(as_prop=True)
def status(self: Report) -> int:
    "Exit status of the command: 0 sound, 1 a finding."
    return 0 if self.sound else 1


# %% [markdown]
# `FAULT` has the names of faults. A test and its fault need two names: "no sign of balance" would say the opposite of what is meant.

# %%
#| export
FAULT = {"lost": "lost regions", "balance": "imbalance", "repeats": "repeated samples",
          "junk": "junk", "copies": "copies", "timid": "timidity", "shift": "shift",
          "transformed": "transformed copies"}


# %% [markdown]
# `join_words` joins words by commas and a last "or" or "and".

# %%
#| export evaluation.page
def join_words(words: list[str], last: str = "or") -> str:
    "Words as `a, b or c`."
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# %%
join_words(["junk"]), join_words(["junk", "copies", "timidity"], "and")

# %% [markdown]
# The `verdict` is one sentence. It names what is wrong, and begins with classes of which nothing is made. It gives no shares.

# %%
#| export
@patch(as_prop=True)
def verdict(self: Report) -> str:
    "What is wrong, in one plain sentence."
    none = [name for name in self.starved if not self.classes[name]["share"]]
    least = [name for name, c in self.classes.items()
             if name in self.starved and 0 < c["share"] < c["expected"] / 10]
    few = [name for name in self.starved if name not in none + least]
    judge = " by the nearest real examples" * bool(self.conditions)
    said = [f"{words} class{'es' * (len(names) > 1)} {join_words(names, 'and')}{judge}"
            for words, names in (("nothing is made of", none),
                                 ("hardly anything is made of", least),
                                 ("too little is made of", few)) if names]
    count, more = len(self.kinds), len(self.unlike) - 4
    said += [f"{count} missing group{'s' * (count > 1)}"] * bool(count)
    said += self.unlike[:4] + [f"{more} more attributes or conditions"] * (more > 0)
    said += [FAULT[f.test] for f in self.findings if f.alarm]
    told = (f"Not sound: {join_words(said, 'and')}." if said else
            "Sound: nothing found that a perfect generator of this size would not show.")
    return told + _untold(self.conditions)


# %% [markdown]
# A condition with fewer than five samples, or as few real examples, is not judged. The verdict says so.

# %%
#| export
def _untold(conditions: ConditionTable | None) -> str:
    "A sentence that names the conditions that nothing can be said about, if there are any."
    names = [str(row.condition) for row in (conditions.rows if conditions else [])
             if row.p is None]
    more = f" and {len(names) - 4} more" * (len(names) > 4)
    return f" Too few examples to say anything of condition {', '.join(names[:4])}{more}." \
        if names else ""


# %% [markdown]
# The next sentence, `coverage`, has the share of real data with samples near, beside the value of a perfect generator.

# %%
#| export
@patch(as_prop=True)
def coverage(self: Report) -> str:
    "The share of the real data that is covered, in one sentence."
    lost = next(found for found in self.findings if found.test == "lost")
    return (f"The samples cover {1 - lost.value:.1%} of the real data "
            f"[{1 - lost.high:.1%}, {1 - lost.low:.1%}]; a perfect generator of this size "
            f"covers {1 - lost.floor:.1%}.")


# %% [markdown]
# Then `found` has a line with figures for each fault: classes and groups that get too few samples, with their shares, and the alarms.

# %%
#| export
@patch(as_prop=True)
def found(self: Report) -> list[str]:
    "Each fault with its figures, a sentence each."
    starved = {name: self.classes[name] for name in self.starved}
    says = [f"Missing: class {name} holds {c['expected']:.1%} of the real data and gets "
            f"{c['share']:.1%} of the samples, judged by the nearest real examples."
            for name, c in starved.items()]
    says += [f"Missing: {kind.says}." for kind in self.kinds[:SHOWN_KINDS]]
    more = len(self.kinds) - SHOWN_KINDS
    says += [f"Missing: {more} more group{'s' * (more > 1)}."] * (more > 0)
    says += [f"Attribute {row.name}: {row.data_rate:.1%} of the real data and "
             f"{row.rate:.1%} of the samples ({p_text(row.p)})."
             for row in (self.attributes.rows if self.attributes else []) if row.alarm]
    says += [_condition_says(row) for row in (self.conditions.rows if self.conditions else [])
             if row.alarm]
    return says + [f"Found: {FAULT[f.test]}: {f.says} ({p_text(f.p)})."
                   for f in self.findings if f.alarm]


# %% [markdown]
# What is found about one condition:

# %%
#| export
def _condition_says(row: ConditionRow) -> str:
    "The figures of a condition that alarms, in a sentence."
    if not row.samples:
        return (f"Condition {row.condition}: {row.real} real examples, no sample was made for it "
                f"({p_text(row.p)}).")
    return (f"Condition {row.condition}: {row.empty:.1%} of its real data have no sample of it "
            f"near; {row.expected:.1%} would be right ({p_text(row.p)}).")


# %% [markdown]
# Last, the tests without an alarm. Each line names the smallest fault that would have been seen. Without it, *no sign of copies* may only mean that there were too few examples. `SMALLEST` has the words.

# %%
#| export
SMALLEST = {
    "lost": "the loss of a group apart that holds {} of the data",
    "balance": "an imbalance in which one half of the data is made {} too often and the other half "
               "as much too seldom",
    "repeats": "{} of the samples repeating another one",
    "junk": "{} of junk far from all data", "copies": "{} of copies",
    "timid": "{} of the samples lying nearer to unseen data than all others",
    "shift": "a shift of the mean by {} of the spread",
    "transformed": "{} of transformed copies",
    "groups": "the loss of a group apart that holds {} of the data",
    "attributes": "the loss of an attribute that {} of the data show",
    "conditions": "the loss of a group apart that holds {} of any one condition"}


# %% [markdown]
# `not_found` writes these lines. A test that had too few examples says so.

# %%
#| export
@patch(as_prop=True)
def not_found(self: Report) -> list[str]:
    "What was not found, each with the smallest fault that would have been seen."
    quiet = {f.test: FAULT[f.test] for f in self.findings if not f.alarm}
    loud = {"groups": bool(self.kinds), "attributes": "Attribute " in " ".join(self.found),
            "conditions": any(said.startswith("Condition ") for said in self.found)}
    words = {"groups": "missing groups", "attributes": "an attribute made too seldom",
             "conditions": "conditions that are not covered"}
    quiet |= {test: words[test] for test in words if test in self.seen and not loud[test]}
    said = []
    for test, fault in quiet.items():
        share = self.seen.get(test)
        least = (f"{SMALLEST[test].format(f'{share:.1%}')} would have been seen with 95 % power"
                 if share else "too few examples to be sure to see any")
        said.append(f"No sign of {fault}: {least}." + f" {NOT_TESTED}" * (test == "conditions"))
    return said


# %% [markdown]
# A figure without its protocol cannot be compared with another one. `protocol` writes the protocol line, which others can cite.

# %%
#| export
@patch(as_prop=True)
def protocol(self: Report) -> str:
    "How the figures were made, in one line to cite."
    sizes = ", ".join(f"{n} {name}" for name, n in self.sizes.items())
    return (f"modelab {VERSION} audit: {sizes}; k = {self.neighbours}; in {self.space}; "
            f"level {self.level:g}")


# %% [markdown]
# `footnote` explains the columns *floor* and *null* and gives the rate of false alarms.

# %%
#| export
@patch(as_prop=True)
def footnote(self: Report) -> str:
    "What the columns of the table mean."
    return ("floor: a perfect generator of this size; null: uniform noise; "
            f"a perfect generator alarms with chance ≤ {100 * self.level:.3g}%")


# %% [markdown]
# Here is a report. Its generator never makes a four, and 60 of its samples are training scans.

# %%
from modelab.evaluation.audit import audit

scans, kind = (torch.as_tensor(v) for v in (load_digits().images / 16, load_digits().target))
order = torch.randperm(len(scans), generator=torch.Generator().manual_seed(0))
train, unseen, made = (scans[part].float() for part in order.split([599, 599, 599]))
made = made[kind[order[1198:]] != 4]
made[:60] = train[:60]
report = audit(made, train, unseen, labels=kind[order[:599]])
print(report)

# %%
assert report.starved == ["4"] and not report.sound and "copies" in report.verdict
assert report.kinds and re.match("Not sound: .* of class 4", report.verdict)
assert report.found[0].startswith("Missing: class 4 holds")
assert all("power" in line or "too few" in line for line in report.not_found)

# %% [markdown]
# ## JSON: every index
# `to_json` gives everything for other programs. The lists hold each flagged example: real ones that are missing or over-produced, samples that are strange or copied, with index, file, and the training example.

# %%
#| export
MEASURE = {"missing": "samples near", "overproduced": "samples near", "strange": "distance",
            "copied": "ratio", "transformed": "ratio"}


# %% [markdown]
# A missing group is written with all of its examples.

# %%
#| export
@patch
def to_json(self: MissingKind) -> dict[str, Any]:
    "The group as plain JSON."
    listed = [{key: value for key, value in (("index", e.index), ("file", e.file))
               if value is not None} for e in self.listed]
    return {"says": self.says, "share": self.share, "samples share": self.samples_share,
            "p": self.p, "examples": listed}


# %% [markdown]
# A copied sample is written with the training example that it may be a copy of.

# %%
#| export
@patch
def to_json(self: Report) -> dict[str, Any]:
    "Everything but the values of examples, as plain JSON."
    lists = {kind: [example.to_json(MEASURE[kind]) for example in found if example.flagged]
             for kind, found in self.listed.items()}
    tables = {name: table and table.to_json() for name, table in
              (("attributes", self.attributes), ("conditions", self.conditions))}
    return {"modelab": VERSION, "sound": self.sound, "verdict": self.verdict,
            "coverage": self.coverage, "found": self.found, "not found": self.not_found,
            "since": self.since,
            "findings": [asdict(found) for found in self.findings], "classes": self.classes,
            "missing kinds": [kind.to_json() for kind in self.kinds], **tables,
            "numbers": self.numbers, "space": self.space, "sizes": self.sizes,
            "level": self.level, "neighbours": self.neighbours, "smallest seen": self.seen,
            "notes": self.notes,
            "protocol": self.protocol, "examples": lists}


# %%
stored = json.loads(json.dumps(report.to_json()))
exact = [e for e in stored["examples"]["copied"] if e["exact"]]
assert sorted(e["index"] for e in exact) == [e["source"]["index"] for e in
                                             sorted(exact, key=lambda e: e["index"])]
print(exact[0], {kind: len(found) for kind, found in stored["examples"].items()}, sep="\n")

# %% [markdown]
# ## Worse than last time?
# An earlier report, stored as JSON, is a baseline. A finding is worse if its interval lies above that of the baseline: the difference is beyond both. Overlapping intervals are no evidence that nothing changed; they say that samples of this size cannot show a change. `Change` is the comparison of one test.

# %%
#| export evaluation.baseline
@dataclass(frozen=True)
class Change:
    "One test beside its result in an earlier report."
    test: str
    before: float
    now: float
    verdict: str  # "worse", "better", "new alarm" or "cannot be told apart"

    def __str__(self) -> str:
        name = FAULT.get(self.test, self.test)
        return f"{name}: {self.before:.3f} before, {self.now:.3f} now: {self.verdict}"


# %% [markdown]
# A baseline is a file from elsewhere, so `earlier_findings` checks its form.

# %%
#| export evaluation.baseline
def earlier_findings(earlier: Any) -> dict[str, dict[str, Any]]:
    "The findings of a stored report by test; what is no report is refused."
    findings = earlier.get("findings") if isinstance(earlier, dict) else None
    keys = {"test", "alarm", "value", "low", "high"}
    right = isinstance(findings, list) and isinstance(earlier.get("space"), str)
    if not right or not all(isinstance(f, dict) and keys <= set(f) for f in findings):
        raise ValueError("baseline: expected a report that `modelab audit --json` wrote")
    return {found["test"]: found for found in findings}


# %% [markdown]
# Two reports can be compared only if distances were taken in the same space. `changes_since` (below) compares test by test. An alarm that the baseline did not raise counts as well, and so does a class or a group that is missing now and was not. `_new_gaps` finds these. A group is a known one if one of its most typical examples was listed in a group of the baseline.

# %%
#| export evaluation.baseline
def _new_gaps(report: Report, earlier: dict[str, Any]) -> list[Change]:
    "Classes and groups that are missing now, and were not in the earlier report."
    before, new = earlier.get("classes") or {}, []
    for name, now in report.classes.items():
        if now["starved"] and name in before and not before[name].get("starved"):
            new.append(Change(f"class {name}", before[name]["share"], now["share"], "new alarm"))
    known = {e["index"] for kind in earlier.get("missing kinds") or []
             for e in kind["examples"]}
    return new + [Change(f"group: {kind.says}", kind.share, kind.samples_share, "new alarm")
                  for kind in report.kinds if not known & {e.index for e in kind.listed}]


# %% [markdown]
# `_newly_unlike` does the same for attributes and conditions.

# %%
#| export evaluation.baseline
def _newly_unlike(report: Report, earlier: dict[str, Any]) -> list[Change]:
    "Attributes and conditions that alarm now, and did not in the earlier report."
    new = []
    for kind, name, values in (("attributes", "name", ("data_rate", "rate")),
                               ("conditions", "condition", ("expected", "empty"))):
        now = getattr(report, kind)
        before = {row[name]: row["alarm"] for row in (earlier.get(kind) or {}).get("rows", [])}
        for row in now.rows if now else []:
            which = getattr(row, name)
            if row.alarm and not before.get(which, True):
                pair = (getattr(row, v) for v in values) if kind == "attributes" or row.samples \
                    else (0., 1.)  # of its real data without a sample near
                new.append(Change(f"{kind[:-1]} {which}", *pair, "new alarm"))
    return new


# %% [markdown]
# `changes_since` goes through the tests, and adds what the two functions find:

# %%
#| export evaluation.baseline
def changes_since(report: Report, earlier: dict[str, Any]) -> list[Change]:
    "Each test of a report beside an earlier one, which `Report.to_json` gave."
    known, changes = earlier_findings(earlier), []
    if earlier["space"] != report.space:
        raise ValueError(f"baseline: distances were taken in {earlier['space']!r:.200}, "
                         f"now in {report.space!r:.200}")
    for f in report.findings:
        if f.test not in known:
            continue
        old, verdict = known[f.test], "cannot be told apart"
        if f.low > old["high"]:
            verdict = "worse"
        elif f.high < old["low"]:
            verdict = "better"
        elif f.alarm and not old["alarm"]:
            verdict = "new alarm"
        changes.append(Change(f.test, old["value"], f.value, verdict))
    return changes + _new_gaps(report, earlier) + _newly_unlike(report, earlier)


# %% [markdown]
# If there is an earlier report, the first line says whether the samples are worse than last time. `worse_or_not` writes it.

# %%
#| export evaluation.baseline
def worse_or_not(changes: Iterable[Change], name: str) -> str:  # of the earlier report
    "Whether the samples are worse than in the earlier report, in one sentence."
    bad = [FAULT.get(change.test, change.test) for change in changes
           if change.verdict in ("worse", "new alarm")]
    said = f"Worse than last time ({name}): {join_words(bad, 'and')}." if bad else ""
    return said or f"Not worse than last time ({name})."


# %%
mended = audit(scans[order[1198:]].float(), train, unseen)
for change in changes_since(mended, stored):
    print(change)
assert {c.test: c.verdict for c in changes_since(mended, stored)}["copies"] == "better"
assert {c.verdict for c in changes_since(report, stored)} == {"cannot be told apart"}
worse_or_not(changes_since(report, stored), "last.json")

# %%
error_message(changes_since, report, {"findings": 3})

# %% [markdown]
# `worse_parts` lists the parts of a report that became worse, by the names that JUnit uses:

# %%
#| export evaluation.baseline
def worse_parts(changes: Iterable[Change]) -> set[str]:
    "Tests, and `classes`, `groups`, `attributes` or `conditions`, in which something became worse."
    plural = {"class": "classes", "group:": "groups", "attribute": "attributes",
              "condition": "conditions"}
    return {plural.get(change.test.split()[0], change.test) for change in changes
            if change.verdict in ("worse", "new alarm")}


# %%
worse_parts([]), worse_parts([Change("class 4", .1, 0., "new alarm")])

# %% [markdown]
# ## JUnit for CI
# CI services read test results as JUnit XML. Each test of the audit is a test case, and an alarm is a failure. With an earlier report, only what became worse is a failure, as for the exit status; an alarm that was there before is skipped.

# %%
#| export
def _faults(report: Report) -> list[tuple[str, str]]:
    "The parts of a report by name, each with what is wrong, or an empty text."
    rows = [(f.test, f.says + f" ({p_text(f.p)})" if f.alarm else "") for f in report.findings]
    if report.classes:
        starved = f"below half of their share: {', '.join(report.starved)}"
        rows.append(("classes", starved if report.starved else ""))
    rows.append(("groups", "; ".join(kind.says for kind in report.kinds)))
    for kind in ("attributes", "conditions"):
        if getattr(report, kind):
            rows.append((kind, " ".join(said for said in report.found
                                        if said.startswith(kind[:-1].capitalize()))))
    return rows


# %% [markdown]
# `junit_xml` makes the file:

# %%
#| export
def junit_xml(report: Report,
              worse: Collection[str] | None = None) -> bytes:  # parts that fail; None: all alarms
    "The report as JUnit XML; with an earlier report, only what became worse is a failure."
    rows = [(test, fault or "worse than in the earlier report" * (test in (worse or ())))
            for test, fault in _faults(report)]
    known = {test for test, fault in rows if fault and worse is not None and test not in worse}
    failed = sum(bool(fault) for test, fault in rows if test not in known)
    suite = ElementTree.Element("testsuite", name="modelab audit", tests=str(len(rows)),
                                failures=str(failed), skipped=str(len(known)))
    for test, fault in rows:
        case = ElementTree.SubElement(suite, "testcase", classname="modelab.audit", name=test)
        if test in known:
            ElementTree.SubElement(case, "skipped", message="as in the baseline")
        elif fault:
            failure = ElementTree.SubElement(case, "failure", message=xml_safe(fault))
            failure.text = xml_safe(f"{report.verdict} {report.coverage}")
    return ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)


# %% [markdown]
# XML forbids most control characters, even escaped ones. A class name may hold them, so `xml_safe` writes `?` instead.

# %%
#| export evaluation.page
def xml_safe(text: str) -> str:
    "The text without characters that XML forbids."
    kept = (c if c.isprintable() or c in "\n\t" else "?" for c in text)
    return "".join(kept)


# %%
print(junit_xml(report).decode()[:420])

# %% [markdown]
# ## The page
# The same report as one HTML file with its pictures inside. It is read without a network, in dark mode, and on a phone. Examples that are pictures are shown, all on one scale of grey, so that a dimmed copy looks dimmed.

# %%
#| export evaluation.page
def _as_images(x: Tensor) -> Tensor | None:
    "Examples as pictures `(n, h, w[, 3])`, if they are pictures."
    if x.ndim == 4 and x.shape[1] in (1, 3):
        return x.movedim(1, -1).squeeze(-1)
    if x.ndim == 4 and x.shape[-1] in (1, 3):
        return x.squeeze(-1)
    return x if x.ndim == 3 and min(x.shape[1:]) >= 4 else None


# %% [markdown]
# Values in [0, 1] stay as they are. Others are brought there, with one scale for all examples.

# %%
#| export evaluation.page
def on_one_scale(images: dict[str, Tensor]) -> dict[str, Tensor]:
    "All pictures in [0, 1]."
    low = min(float(x.min()) for x in images.values())
    high = max(float(x.max()) for x in images.values())
    if 0 <= low and high <= 1:
        return images
    return {name: (x - low) / max(high - low, 1e-12) for name, x in images.items()}


# %% [markdown]
# Small pictures are stored as they are, and large ones as thumbnails of 96 pixels, so that a page stays far below 2 MB.

# %%
#| export evaluation.page
def _data_address(image: Tensor, side: int = 96) -> str:
    "A picture `(h, w[, 3])` in [0, 1] as the address of an image that holds its bytes."
    from PIL import Image
    picture = Image.fromarray((image * 255).round().clamp(0, 255).byte().numpy())
    small = max(picture.size) <= 32
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, **({"format": "PNG"} if small else {"format": "JPEG", "quality": 80}))
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


# %% [markdown]
# Names of files come from a user's disk and may hold anything, also HTML. Every text is escaped.

# %%
#| export evaluation.page
def _figure(image: Tensor, example: Any, says: str) -> str:  # an `Example`
    "One example: its picture, its name with a link, and what was measured."
    name, said = html.escape(example.name), html.escape(says)
    picture = f'<img alt="{name}, {said}" src="{_data_address(image)}">'
    if example.link:
        address = html.escape(example.link, quote=True)
        picture, name = (f'<a href="{address}">{part}</a>' for part in (picture, name))
    return f"<figure>{picture}<figcaption>{name}<br>{said}</figcaption></figure>"


# %% [markdown]
# A gallery shows the worst of one list. Each suspicious sample stands beside its training example.

# %%
#| export evaluation.page
def gallery(title: str, shown: Iterable[tuple[Tensor, Any, str]]) -> str:
    "Examples under a title."
    figures = "".join(_figure(*one) for one in shown)
    return f'<h2>{html.escape(title)}</h2><div class="gallery">{figures}</div>'


# %% [markdown]
# What is written below a picture:

# %%
#| export
def _caption(kind: str, example: Example, neighbours: int) -> str:
    "What was measured of an example, in words."
    if kind in ("missing", "overproduced"):
        return f"{example.value:.0f} of {neighbours} nearest are samples"
    if kind == "strange":
        return f"distance {example.value:.3g}"
    said = f"{example.change}, " if example.change else ""
    return "equal" if example.exact else f"{said}ratio {example.value:.2g}"


# %% [markdown]
# The titles of the galleries:

# %%
#| export
GALLERIES = {"missing": "Real examples with the fewest samples near them",
             "overproduced": "Real examples with the most samples near them",
             "strange": "Strange: samples farthest from all training data",
             "copied": "Most suspicious samples, each before its nearest training example",
             "transformed": "Transformed copies, each before the training picture"}
SOURCES = {"copied": "sources", "transformed": "transformed sources"}  # their galleries


# %% [markdown]
# `_galleries` makes all of them. Transformed copies are shown where their test raised an alarm.

# %%
#| export
def _galleries(report: Report, images: dict[str, Tensor]) -> str:
    "The galleries of a report whose examples are pictures."
    parts = [gallery(f"Missing: {kind.says}", [(image, example, "") for image, example in
                                                zip(images[f"group {i}"], kind.listed)])
             for i, kind in enumerate(report.kinds[:SHOWN_KINDS])]
    for kind, title in ((kind, title) for kind, title in GALLERIES.items() if kind in images):
        shown = [(image, example, _caption(kind, example, report.neighbours))
                 for image, example in zip(images[kind], report.listed[kind])]
        if kind in SOURCES:
            beside = [(image, one[1].source, "training example")
                      for image, one in zip(images[SOURCES[kind]], shown)]
            shown = [one for pair in zip(shown, beside) for one in pair]
        parts.append(gallery(title, shown))
    return "".join(parts)


# %% [markdown]
# Examples that are no pictures are listed by name, and drawn as points along the two main directions of the real data.

# %%
#| export
def _lists(report: Report) -> str:
    "The flagged examples by name, for examples that are no pictures."
    lists = {f"Missing: {kind.says}": kind.listed for kind in report.kinds[:SHOWN_KINDS]}
    lists |= {title: report.listed[kind] for kind, title in GALLERIES.items()
              if kind in report.listed}
    parts = []
    for title, examples in lists.items():
        named = [example.name + (f" (like {example.source.name})" if example.source else "")
                 for example in examples if example.flagged]
        more = f" and {len(named) - 24} more" if len(named) > 24 else ""
        text = html.escape(", ".join(named[:24]) + more) if named else "none"
        parts.append(f"<h2>{html.escape(title)}</h2><p>{text}</p>")
    return "".join(parts)


# %% [markdown]
# The points:

# %%
#| export
def _points_picture(features: dict[str, Tensor]) -> Picture:
    "Real and generated features in two principal directions of the real ones."
    middle = features["reference"].mean(0)
    flat = {name: features[name] - middle for name in ("reference", "samples")}
    directions = torch.linalg.svd(flat["reference"][:2000], full_matrices=False)[2][:2].T
    real, made = (((x @ directions)[:1500]) for x in flat.values())
    figure, ax = axes(size=(4, 3.6))
    if directions.shape[1] == 2:
        scatter(ax, real, made, size=4)
    else:
        ax.hist([real[:, 0], made[:, 0]], 40, color=[REAL, FAKE], label=["real", "generated"])
    return Picture(figure, "Real and generated examples, "
                           "along the two main directions of the real data")


# %% [markdown]
# Every report also shows the precision–recall curve of chapter [4.1](../4_evidence/01_precision_recall.ipynb), against held-out data.

# %%
#| export
def _curve_picture(features: dict[str, Tensor]) -> Picture:
    "The precision–recall curve of the samples against held-out data."
    curve = pr_curve(features["holdout"], features["samples"])
    figure, ax = axes(size=(3, 2.8))
    ax.plot(curve.recall, curve.precision, c=FAKE)
    ax.set(xlabel="recall β", ylabel="precision α", xlim=(0, 1.03), ylim=(0, 1.03))
    return Picture(figure, f"Precision–recall curve against held-out data; {curve!r}")


# %% [markdown]
# `_pictures` chooses: galleries if the examples are pictures, else names and points. The curve comes last.

# %%
#| export
def _pictures(report: Report) -> str:
    "All pictures of a report, as HTML."
    images = {name: _as_images(x) for name, x in report.examples.items()}
    curve = chart(_curve_picture(report.features))
    if any(x is None for x in images.values()):
        return _lists(report) + chart(_points_picture(report.features)) + curve
    return _galleries(report, on_one_scale(images)) + curve


# %% [markdown]
# `chart` stores a chart inside the page, too. It keeps its white ground in dark mode.

# %%
#| export evaluation.page
def chart(picture: Picture) -> str:
    "A chart as an image that holds its bytes, with its text below."
    data, alt = base64.b64encode(picture.png).decode(), html.escape(picture.alt)
    return (f'<p><img class="chart" alt="{alt}" src="data:image/png;base64,{data}">'
            f"<br><small>{alt}</small></p>")


# %% [markdown]
# Sentences are a list.

# %%
#| export evaluation.page
def html_lines(lines: Iterable[str], title: str = "") -> str:
    "Sentences as a list below a title; nothing if there are none. All of it is escaped."
    rows = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    head = f"<h2>{html.escape(title)}</h2>" if title else ""
    return f"{head}<ul>{rows}</ul>" if rows else ""


# %% [markdown]
# A picture links to its file. If the file lies below the folder that holds the report, or beside that folder, the link is relative: both may move together, to another machine or a web server. Otherwise it is the address of the file on this machine.

# %%
#| export evaluation.page
def relative_link(link: str | None,  # the address of a file, or None
                  folder: Path) -> str | None:  # that the page is written into
    "The address as seen from a page in this folder, if the file lies near it."
    if not link or not link.startswith("file:///"):
        return link
    file, folder = Path(os.fsdecode(unquote_to_bytes(link[len("file://"):]))), folder.resolve()
    near = folder.parent if folder.parent != Path(folder.anchor) else folder
    if not file.is_relative_to(near) or near == Path(folder.anchor):
        return link
    return "./" + quote(os.fsencode(Path(os.path.relpath(file, folder)).as_posix()))


# %%
(relative_link("file:///data/run/made/1.png", Path("/data/run/reports")),
 relative_link("file:///data/run/made/1.png", Path("/srv/pages")))

# %% [markdown]
# Then the tables.

# %%
#| export evaluation.page
def html_rows(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    "A table; every cell is escaped."
    lines = [("th", head), *(("td", row) for row in rows)]
    return "<table>" + "".join(
        "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
        for tag, cells in lines) + "</table>"


# %% [markdown]
# One row for each test, with the same columns as the printed report; one for each class, if there are labels; one for each figure that is no alarm.

# %%
#| export
def _tables(report: Report) -> str:
    "The tables of a report."
    tests = [[f.test, f"{f.value:.3f}", f"{f.low:.3f} to {f.high:.3f}", f"{f.floor:.3f}",
              _null_text(f), p_text(f.p), f"ALARM: {f.says}" if f.alarm else "no sign"]
             for f in report.findings]
    made = html_rows(["test", "yours", "≥ 95 % interval", "floor", "null", "p", ""], tests)
    classes = [[name, f"{c['share']:.3f}", f"{c['low']:.3f} to {c['high']:.3f}",
                f"{c['expected']:.3f}", p_text(c["p"])] for name, c in report.classes.items()]
    if classes:
        made += html_rows(["class", "share", "Wilson 95 %", "expected", "p"], classes)
    numbers = [[name, f"{v['samples']:.4g}", f"{v['holdout']:.4g}"]
               for name, v in report.numbers.items()]
    return (made + _unlike_tables(report)
            + html_rows(["no alarm, for information", "samples", "held out"], numbers))


# %% [markdown]
# One row for each attribute and condition. A dash stands for what is not defined.

# %%
#| export
def _unlike_tables(report: Report) -> str:
    "The tables of attributes and of conditions, if there are any."
    made, share = "", lambda v: "–" if v is None else f"{v:.1%}"
    if report.attributes:
        rows = [[r.name, share(r.data_rate), share(r.rate), f"{r.low:.1%} to {r.high:.1%}",
                 share(r.precision), share(r.recall), p_cell(r.p),
                 "ALARM" if r.alarm else "no sign"]
                for r in report.attributes.rows]
        made += html_rows(["attribute", "data", "samples", "Wilson 95 %", "precision", "recall",
                           "p", ""], rows)
        made += f"<p>{html.escape(f'Attributes judged by {report.attributes.judge}.')}</p>"
    if report.conditions:
        rows = [[r.condition, r.samples, r.real, share(r.empty), share(r.expected), share(r.seen),
                 p_cell(r.p), "ALARM" if r.alarm else "–" if r.p is None else "no sign"]
                for r in report.conditions.rows]
        made += html_rows(["condition", "samples", "real", "without a sample near", "expected",
                           "smallest loss seen", "p", ""], rows)
    return made


# %% [markdown]
# The style of a page: two schemes of colour, galleries that wrap, tables that scroll on a narrow screen.

# %%
#| export evaluation.page
STYLE = """
.modelab-audit{font:16px/1.5 system-ui,sans-serif;max-width:64em;overflow-wrap:anywhere}
.modelab-audit table{display:block;overflow-x:auto;max-width:100%;border-collapse:collapse}
.modelab-audit td,.modelab-audit th{padding:.2em .7em;text-align:left;white-space:nowrap}
.modelab-audit td:last-child{white-space:normal;min-width:10em}
.modelab-audit td:first-child{white-space:normal;min-width:7em;max-width:20em}
.modelab-audit h2{font-size:1.1em}
.modelab-audit .gallery{display:flex;flex-wrap:wrap;gap:.5em}
.modelab-audit figure{margin:0;width:6em}
.modelab-audit figcaption{font-size:.7em;line-height:1.3}
.modelab-audit figure img{width:6em;image-rendering:pixelated}
.modelab-audit .chart{max-width:100%;background:#fff}
"""


# %% [markdown]
# `html_page` joins the verdict, the tables and the pictures.

# %%
#| export
def html_page(report: Report) -> str:
    "The report as one self-contained piece of HTML."
    first = "".join(f"<p><b>{html.escape(said)}</b></p>" for said in (report.since, report.verdict)
                    if said)
    notes = html_lines(report.notes, "Notes on the data")
    cite = html.escape(f"{report.footnote}. To cite: {report.protocol}")
    return (f'<div class="modelab-audit"><style>{STYLE}</style>{first}'
            f"<p>{html.escape(report.coverage)}</p>{html_lines(report.found)}{notes}"
            f"{_tables(report)}{html_lines(report.not_found, 'Not found')}"
            f"<p><small>{cite}</small></p>{_pictures(report)}</div>")


# %% [markdown]
# A file of its own also needs a head with the encoding, the width of a phone's screen, and both schemes of colour. `html_file` makes it for every page of the library. On some systems the name of a file may hold bytes that are no text. `utf8_text` replaces them, so that a report can be written and printed.

# %%
#| export evaluation.page
def utf8_text(text: str) -> str:
    "The text with `?` for what UTF-8 cannot hold, such as the bytes of some file names."
    return text.encode("utf-8", "replace").decode()


# %%
utf8_text("caf\udce9.png"), utf8_text("café.png")

# %% [markdown]
# The frame of a page:

# %%
#| export evaluation.page
def html_file(title: str, body: str) -> bytes:  # both are HTML: escape what they quote
    "HTML as a file that a browser opens: offline, dark or light, wide or narrow."
    head = (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            '<meta name="color-scheme" content="light dark">')
    style = ("h1{font:600 1.2em system-ui,sans-serif}"
             "body{margin:1em auto;padding:0 1em;max-width:64em;background:#fff;color:#111}"
             "@media (prefers-color-scheme:dark){body{background:#16181c;color:#e4e4e4}"
             "a{color:#8ab4f8}}")
    body = f"<h1>{title}</h1>{body}"
    return utf8_text(f"{head}<style>{style}</style><body>{body}</body></html>").encode()


# %% [markdown]
# In Python, `report.save("report.html")` writes such a page, and `report.save("report.json")` all that is known. The results of `missing` and `compare` have the same method.

# %%
#| export evaluation.page
def save_document(path: str | Path, page: Callable[[Path], bytes],  # for its folder
                  values: Callable[[], dict[str, Any]]) -> None:
    "Write a result as .html or .json, all of it or nothing."
    path = Path(path).expanduser()
    if path.suffix not in (".html", ".json"):
        raise ValueError(f"path: expected a name that ends in .html or .json, got {path.name!r}")
    data = (page(path.absolute().parent) if path.suffix == ".html"
            else (json.dumps(values(), indent=1) + "\n").encode())
    write_report("path", path, data)


# %% [markdown]
# `write_report` writes one file. If this fails, for example because the disk is full, the error names the argument, or the option of a command.

# %%
#| export evaluation.page
def write_report(name: str, path: str | Path, data: bytes) -> None:
    "Write a report, all of it or nothing; `OSError` with the argument and the path if it fails."
    try:
        atomic_write(path, data)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{name}: {path} cannot be written: {reason}") from error


# %% [markdown]
# The links of a report are made for the folder that it is written into.

# %%
#| export
def _linked_from(report: Report, folder: Path) -> Report:
    "The same report with links as seen from a page in this folder."
    def linked(e: Example) -> Example:
        return replace(e, link=relative_link(e.link, folder), source=e.source and linked(e.source))
    listed = {kind: [linked(e) for e in found] for kind, found in report.listed.items()}
    kinds = [replace(kind, listed=[linked(e) for e in kind.listed]) for kind in report.kinds]
    return replace(report, listed=listed, kinds=kinds)


# %% [markdown]
# The report in this frame:

# %%
#| export
def html_document(report: Report,
                  folder: Path | str | None = None,  # of the page; None: links are whole addresses
                  ) -> bytes:
    "The report as a file that a browser opens, without a network."
    shown = report if folder is None else _linked_from(report, Path(folder))
    return html_file("modelab audit", html_page(shown))


# %% [markdown]
# `save` writes this page, or all that is known as JSON.

# %%
#| export
@patch
def save(self: Report, path: str | Path) -> None:
    "Write the report as .html, one file that needs nothing else, or as .json."
    save_document(path, lambda folder: html_document(self, folder), self.to_json)


# %%
page = html_document(report)
assert page.count(b"<figure>") >= 96 and b"http" not in page and len(page) < 2e6
f"{len(page) / 1e3:.0f} kB"

# %% [markdown]
# ## A map of missing groups
# The search for missing groups of chapter [4.3](../4_evidence/03_missing.ipynb) has a page of its own. It shows a map of the real data and a card for each group. You choose a card, or click a point of a group on the map, and see its neighbourhoods: real examples of the group, and the sample nearest to each. The cards are radio buttons and the choice is made by the style sheet alone. So the page needs no script and no kernel: it works in a file, in a stored notebook, on a phone, and by the arrow keys.
#
# What it shows at most:

# %%
#| export evaluation.missing_page
SHOWN_GROUPS = 8  # of a page: the surest
SHOWN_PAIRS = 12  # of a group
SHOWN_POINTS = 1500  # real examples on the map, and as many samples


# %% [markdown]
# An example has a name, and a link if it has a file of its own.

# %%
#| export evaluation.missing_page
class NamedRow(NamedTuple):
    "What a page calls an example, and the address of its file."
    name: str
    link: str | None = None


# %% [markdown]
# Without files, the names are those that the search was given, or row numbers.

# %%
#| export evaluation.missing_page
def _known_names(found: Any) -> Callable[[str, int], NamedRow]:  # a `Missing`
    "From `reference` or `samples`, and a row, to its name."
    known = {row: name for group in found.groups for row, name in zip(group.indices, group.names)}
    return lambda part, row: NamedRow(part == "reference" and known.get(row) or f"row {row}")


# %% [markdown]
# The map is 400 wide and 300 high. Its limits are those of the real examples. A sample that lies outside is not drawn.

# %%
#| export evaluation.missing_page
def _map_places(real: Tensor) -> Callable[[Tensor], list[list[float]]]:  # (n, 2)
    "From two coordinates to places on the map."
    low, high, size = real.amin(0), real.amax(0), torch.tensor([400., 300.])
    scale = ((size - 30) / (high - low).clamp(min=1e-12)).amin() * torch.tensor([1., -1.])
    return lambda x: ((x - (low + high) / 2) * scale + size / 2).tolist()


# %%
_map_places(torch.tensor([[0., 0.], [2., 1.]]))(torch.tensor([[0., 0.], [1., .5]]))


# %% [markdown]
# All points of one colour are one path.

# %%
#| export evaluation.missing_page
def _dots(places: Sequence[Sequence[float]], colour: str, width: float) -> str:
    "Places on the map as round dots."
    path = "".join(f"M{x:.0f} {y:.0f}h.1" for x, y in places if 0 <= x <= 400 and 0 <= y <= 300)
    return (f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}" '
            'stroke-linecap="round"/>')


# %% [markdown]
# The ground of the map: real examples in grey, samples in orange.

# %%
#| export evaluation.missing_page
def _ground(found: Any, place: Callable[[Tensor], list[list[float]]]) -> str:
    "The map without groups, and what its colours mean."
    thin = lambda x: place(x[::math.ceil(len(x) / SHOWN_POINTS)])
    dots = (_dots(thin(found.where["reference"]), MISSING, 5)
            + _dots(thin(found.where["samples"]), FAKE, 3))
    says = ("Real examples (grey), samples (orange) and the missing groups (blue), along the two "
            "main directions of the real data. Choose a group here or by its card.")
    return (f'<figure class="map"><svg viewBox="0 0 400 300" role="img" aria-label="{says}">{dots}'
            f"</svg><figcaption>{says}</figcaption></figure>")


# %% [markdown]
# A group is a layer on top. Its number stands at its most typical example.

# %%
#| export evaluation.missing_page
def _layer(number: int, places: Sequence[Sequence[float]]) -> str:
    "The points of a group, with its number."
    x, y = places[0]
    dots = _dots(places[::math.ceil(len(places) / SHOWN_POINTS)], REAL, 6)
    return (f'<svg class="layer" viewBox="0 0 400 300" aria-hidden="true">{dots}'
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="10" fill="{REAL}"/>'
            f'<text x="{x:.0f}" y="{y + 5:.0f}" fill="#fff" font-size="14" text-anchor="middle">'
            f"{number}</text></svg>")


# %% [markdown]
# A share is a bar. The line is its interval.

# %%
#| export evaluation.missing_page
def _share_bar(share: float, low: float, high: float, most: float, colour: str) -> str:
    "A share and its interval as a bar whose full length is `most`."
    at = [f"{100 * value / most:.1f}" for value in (share, low, high)]
    return (f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect y="1" width="{at[0]}" height="8" fill="{colour}"/><path d="M{at[1]} 5H{at[2]}" '
            'stroke="currentColor" stroke-width="2" vector-effect="non-scaling-stroke"/></svg>')


# %% [markdown]
# The card of a group: its most typical example, both shares, and $p$. It holds the layer, so that a click on a point of the map is a click on the card.

# %%
#| export evaluation.missing_page
def _card(number: int, group: Any, layer: str, image: Tensor | None, most: float) -> str:
    "A radio button with what it chooses."
    what, part = next(iter(group.classes.items()), ("", 0.))
    title = f"Group {number}" + f": mostly {what}" * (part > .5)
    shares = "".join(
        f"{_share_bar(*share, most, colour)}<br>{100 * share[0]:.1f} % of the {name}<br>"
        for name, colour, share in (
            ("data", REAL, (group.share, group.low, group.high)),
            ("samples", FAKE, (group.samples_share, group.samples_low, group.samples_high))))
    picture = "" if image is None else f'<img alt="example" src="{_data_address(image)}">'
    return (f'<label><input type="radio" name="group" value="{number}"{" checked" * (number == 1)}'
            f' data-lm-suppress-shortcuts="true">{picture}<span><b>{html.escape(title)}</b><br>'
            f"{shares}{html.escape(p_text(group.p))}</span>{layer}</label>")


# %% [markdown]
# The neighbourhoods of a group: pairs of a real example and the sample nearest to it.

# %%
#| export evaluation.missing_page
def _pairs(group: Any, name_of: Callable[[str, int], NamedRow],
           images: tuple[Tensor, Tensor] | None) -> str:
    "Real examples, each above its nearest sample; as pictures, or as names."
    rows = list(zip(group.indices, group.nearest_indices, group.distances))[:SHOWN_PAIRS]
    named = [(name_of("reference", real), name_of("samples", made), f"distance {far:.3g}")
             for real, made, far in rows]
    if images is None:
        return html_rows(["real example", "nearest sample", ""],
                         [(real.name, made.name, far) for real, made, far in named])
    pairs = "".join(f'<div class="pair">{_figure(x, real, "real")}{_figure(y, made, far)}</div>'
                    for (real, made, far), x, y in zip(named, *images))
    return f'<div class="gallery">{pairs}</div>'


# %% [markdown]
# A page about a group has its sentence, its figures and its pairs. One distance is for comparison: half of the held-out examples have a sample within it.

# %%
#| export evaluation.missing_page
def _group_section(number: int, group: Any, found: Any, pairs: str) -> str:
    "What is shown of a group that is chosen."
    span = lambda v, low, high: f"{v:.1%} [{low:.1%}, {high:.1%}]"
    share = span(group.share, group.low, group.high)
    made = span(group.samples_share, group.samples_low, group.samples_high)
    says = [f"Share of the data {share}, of the samples {made} (Wilson 95 %).",
            f"{p_text(group.p)}, joint over all groups and walks.",
            f"{len(group.indices)} of {found.sizes['reference']} real examples"
            + " in several places" * group.scattered + "."]
    parts = ", ".join(f"{name} {part:.0%}" for name, part in list(group.classes.items())[:5])
    says += [f"Classes: {parts}."] * bool(parts)
    near = "" if found.usual is None else (f" Half of the held-out examples have a sample within "
                                           f"{found.usual:.3g}.")
    under = f"Each real example stands above the sample nearest to it, in {found.space}.{near}"
    return (f"<section><h2>Group {number}: {html.escape(str(group))}</h2>{html_lines(says)}"
            f"<p>{html.escape(under)}</p>{pairs}</section>")


# %% [markdown]
# The style sheet shows the section of the card that is chosen. A browser that cannot do this shows all sections, and so does paper.

# %%
#| export evaluation.missing_page
GROUPS_STYLE = """
.modelab-audit form{position:relative;display:flex;flex-wrap:wrap;gap:.5em 1em;margin:0}
.modelab-audit figure.map{flex:0 0 auto;width:min(24em,100%)}
.modelab-audit svg{display:block;width:100%}
.modelab-audit svg.bar{height:.7em;display:inline-block;width:8em;max-width:100%}
.modelab-audit .map svg{outline:1px solid #8c8c8c}
.modelab-audit svg.layer{position:absolute;left:0;top:0;width:min(24em,100%);pointer-events:none}
.modelab-audit .layer *{pointer-events:visiblePainted;cursor:pointer}
.modelab-audit .layer path{opacity:.55}
.modelab-audit .cards{flex:1 1 15em;display:flex;flex-wrap:wrap;gap:.5em;align-content:flex-start}
.modelab-audit label{display:flex;gap:.5em;padding:.4em;cursor:pointer;outline:1px solid #8c8c8c;
line-height:1.3;font-size:.9em;align-items:flex-start}
.modelab-audit label img{width:3.5em;height:auto;image-rendering:pixelated}
.modelab-audit label:has(:checked){outline:3px solid #0072B2}
.modelab-audit label:has(:focus-visible){outline:3px solid currentColor}
.modelab-audit label:has(:checked) .layer path{opacity:1}
.modelab-audit section{flex:1 1 100%;min-width:0}
.modelab-audit .pair figure{margin-bottom:.3em}
@media screen{@supports selector(:has(*)){.modelab-audit form>section{display:none}
""" + "".join(
    f".modelab-audit form:has(label:nth-of-type({i}) :checked)>section:nth-of-type({i})"
    "{display:block}" for i in range(1, SHOWN_GROUPS + 1)) + "}}"


# %% [markdown]
# The map, the cards and the sections together. A form keeps the cards of two results on one page apart; `dialog` means that nothing is sent.

# %%
#| export evaluation.missing_page
def _groups_form(found: Any, name_of: Callable[[str, int], NamedRow]) -> str:
    "The groups of a result, to choose from."
    groups, place = found.groups[:SHOWN_GROUPS], _map_places(found.where["reference"])
    at = dict(zip(found.where["rows"].tolist(), place(found.where["reference"])))
    images = {f"{i} {part}": _as_images(getattr(group, part).cpu().float())
              for i, group in enumerate(groups) for part in ("examples", "nearest")}
    drawn = all(x is not None for x in images.values())
    images = on_one_scale(images) if drawn else {}
    most = max(max(group.high, group.samples_high) for group in groups)
    cards, sections = "", ""
    for i, group in enumerate(groups):
        both = (images[f"{i} examples"], images[f"{i} nearest"]) if drawn else None
        layer = _layer(i + 1, [at[row] for row in group.indices])
        cards += _card(i + 1, group, layer, both and both[0][0], most)
        sections += _group_section(i + 1, group, found, _pairs(group, name_of, both))
    return (f'<form method="dialog">{_ground(found, place)}<div class="cards" role="radiogroup" '
            f'aria-label="missing groups, the surest first">{cards}</div>{sections}</form>')


# %% [markdown]
# As a piece of HTML, for a notebook:

# %%
#| export evaluation.missing_page
def groups_html(found: Any,  # a `Missing`
                notes: Sequence[str] = (),
                name_of: Callable[[str, int], NamedRow] | None = None) -> str:
    "Missing groups as one self-contained piece of HTML; a sentence if there are none."
    more, count = len(found.groups) - SHOWN_GROUPS, len(found.groups)
    first = f"{count} missing group{'s' * (count > 1)}" if count else found.says
    first += f"; the {SHOWN_GROUPS} surest are shown" * (more > 0)
    told = list(dict.fromkeys([*found.notes, *notes]))
    form = _groups_form(found, name_of or _known_names(found)) if count else ""
    cite = html.escape(f"To cite: {found.protocol}")
    return (f'<div class="modelab-audit"><style>{STYLE}{GROUPS_STYLE}</style>'
            f"<p><b>{html.escape(first)}</b></p>{html_lines(told, 'Notes on the data')}{form}"
            f"<p><small>{cite}</small></p></div>")


# %% [markdown]
# As a file, with links from the folder that holds it:

# %%
#| export evaluation.missing_page
def missing_document(found: Any,  # a `Missing`
                     notes: Sequence[str] = (),
                     name_of: Callable[[str, int], NamedRow] | None = None,
                     folder: Path | None = None) -> bytes:  # of the page
    "Missing groups as a file that a browser opens, without a network."
    name_of = name_of or _known_names(found)

    def linked(part: str, row: int) -> NamedRow:
        name, link = name_of(part, row)
        return NamedRow(name, relative_link(link, folder) if folder else link)
    return html_file("modelab missing", groups_html(found, notes, linked))


# %%
from modelab import missing

groups = missing(made, train, unseen, labels=kind[order[:599]])
page = missing_document(groups)
assert page.count(b'class="pair"') >= 12 and b"<script" not in page and len(page) < 2e6
groups

# %% [markdown]
# ## The command
# `modelab audit samples --reference train` prints the verdict, writes the reports, and ends with the exit status 0 (sound), 1 (a finding) or 2 (anything else: bad input, a missing package, a failure). A crash must not look like a finding.

# %%
#| export evaluation.audit_command
def _named_features(text: str) -> Callable:
    "A network of `feature_network` by name, or the user's own function."
    try:
        return feature_network(text)
    except (ValueError, TypeError, OSError, ImportError) as error:
        said = str(error).removeprefix("features: ").partition("; or give feature_")[0]
        raise ValueError(f"--features: {said}") from error


# %% [markdown]
# `audit`, `missing` and `compare` have the same options for how files are read and compared, and for memory.

# %%
#| export evaluation.audit_command
def reading_options(parser: argparse.ArgumentParser) -> None:
    "Options that say how examples are read, and by which features they are compared."
    option = parser.add_argument
    option("--features", help="pixels, inception, dinov2, clip, lpips-vgg, face (upright faces "
           "that fill the picture), a file, or module:function (default: the values)")
    option("--size", type=int, help="side that pictures are brought to (default: the smaller one)")
    option("--skip-bad", action="store_true", help="leave damaged pictures out, and say which")
    option("--memory", default="64M", help="what one search or read may hold, such as 500M or "
           "1.5G (default 64M); features of the examples come on top")
    option("--no-cache", action="store_true", help="compute features anew and keep none; else "
           "those of a named network are kept in a folder .modelab beside each file or folder, or "
           "in ~/.cache/modelab if nothing can be written there; MODELAB_CACHE=DIR names another")


# %% [markdown]
# The three commands also open their files in the same way: all of them are brought to one shape, range and size.

# %%
#| export evaluation.audit_command
def open_matched(args: argparse.Namespace,
                 *paths: str | None,  # the reference first; None: not given
                 ) -> tuple[list[SampleFile | None], list[str]]:
    "The files of a command line, and notes on what was done to them."
    opened = [None if path is None else open_samples(path, size=args.size, skip_bad=args.skip_bad)
              for path in paths]
    return match_sources(*opened)


# %% [markdown]
# `_audit_command` declares what the command takes:

# %%
#| export evaluation.audit_command
@register_command("audit")
def _audit_command(parser: argparse.ArgumentParser) -> Callable:
    """ask of samples: is it collapse, is it copying? Exit status 0 sound, 1 a finding, 2 bad input

    modelab audit samples.npy --reference train.npy --holdout test.npy --out report.html
    modelab audit samples.npz:images --reference train.npy --labels y.npy --json report.json
    modelab audit folder-of-images --reference train.pt --features mycode:embed
    modelab audit made/ --reference train/ --baseline last.json --junit audit.xml
    modelab audit made/ --reference train/ --attributes train.csv --sample-attributes made.csv
    """
    option = parser.add_argument
    option("samples", help="what the generator makes: a folder of pictures, a zip, .npy, "
           ".npz:name, .pt, .csv, …")
    option("--reference", required=True, help="what it was trained on")
    option("--holdout", help="real data it never saw (default: half of the "
           "reference, at most --most examples)")
    _annotation_options(parser)
    reading_options(parser)
    option("--level", type=float, default=.05, help="joint rate of false alarms (default 0.05)")
    option("--baseline", help="an earlier --json report: exit status 1 only for what is worse")
    _search_options(parser)
    _output_options(parser)
    return _run_audit


# %% [markdown]
# Then the options for labels and attributes. Sub-folders are classes without any option.

# %%
#| export evaluation.audit_command
def _annotation_options(parser: argparse.ArgumentParser) -> None:
    "Options that name files of labels and attributes."
    option = parser.add_argument
    option("--labels", help="classes of the reference: a file of labels, or of names and labels")
    option("--sample-labels", help="which class each sample was made for, by a conditional "
           "generator: each class is then looked at by itself")
    option("--attributes", help="attributes of the reference: a table with a column for each, "
           "0 or 1, and a column of file names")
    option("--sample-attributes", help="the same for the samples, by the same judge "
           "(default: what most of the nearest real examples show)")
    option("--together", action="append", metavar="A+B", help="attributes that are also counted "
           "where they are shown together; may be given several times")


# %% [markdown]
# These options say how much is searched:

# %%
#| export evaluation.audit_command
def _search_options(parser: argparse.ArgumentParser) -> None:
    "Options that say how much is looked at."
    option = parser.add_argument
    option("--most", type=int, default=5000, help="examples used of each file (default 5000)")
    option("--no-transformed", action="store_true",
           help="do not search pictures for moved, mirrored, cropped or dimmed copies")


# %% [markdown]
# `memory_bytes` reads `--memory`: a number of bytes, with a letter for thousands, millions or billions. It may have a fraction.

# %%
#| export evaluation.audit_command
def memory_bytes(text: str) -> int:
    "The number of bytes that `--memory` means."
    found = re.fullmatch(r"(\d+|\d*\.\d+)\s*([KMG]?)B?", text.strip(), re.I | re.A)
    if not found:
        raise ValueError("--memory: expected a number of bytes, such as 500M or 1.5G, "
                         f"got {text!r:.60}")
    unit = 1000 ** " KMG".index(found[2].upper() or " ")
    return check_int("--memory", int(Decimal(found[1]) * unit), 1 << 22)


# %%
assert [memory_bytes(text) for text in ("128M", "1.5g", "5000000")] == [128e6, 1.5e9, 5e6]
error_message(memory_bytes, "much"), error_message(memory_bytes, "3K")

# %% [markdown]
# The features of a network take longest by far. `_StoredFeatures` keeps them in a folder `.modelab` beside the file or folder, with `cached` of [6.5](05_readers.ipynb), under the content of the files, the network, and the rows. They are computed again if any of these changes.

# %%
#| export evaluation.audit_command
class _StoredFeatures:
    "A feature network whose features of files are kept for the next time."
    def __init__(self, network: Callable):
        self.network, self.name, self.key = network, network.name, network.key
        self.content: dict[int, str] = {}  # of a source, by its identity
        self.notes: list[str] = []  # why nothing could be kept

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)

    def stored(self, source: Any, rows: torch.Tensor,
               compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        "The features of some rows: as they were kept, or computed now."
        if not isinstance(source, SampleFile):
            return compute()
        if id(source) not in self.content:
            self.content[id(source)] = content_key(source)
        told = hashlib.sha256(f"{self.key} {self.content[id(source)]}".encode())
        told.update(rows.numpy().tobytes())
        found = cached(source.path, f"features-{told.hexdigest()}", compute, self.notes)
        right = isinstance(found, torch.Tensor) and len(found) == len(rows)
        return found if right else compute()  # somebody wrote another file under this name


# %% [markdown]
# `command_features` reads `--features`. Features of a function of yours are never stored, because the function may have changed.

# %%
#| export evaluation.audit_command
def command_features(args: argparse.Namespace) -> Callable | None:
    "What distances are taken between; None: the values."
    found = None if args.features is None else _named_features(args.features)
    keep = found and not args.no_cache and getattr(found, "key", None)
    return _StoredFeatures(found) if keep else found or None


# %% [markdown]
# And these say what is written:

# %%
#| export evaluation.audit_command
def _output_options(parser: argparse.ArgumentParser) -> None:
    "Options that name a file to write, and the version."
    parser.add_argument("--out", help="report to write, one HTML file that needs nothing else")
    parser.add_argument("--json", help="report to write as JSON, with the index of every example")
    parser.add_argument("--junit", help="report to write as JUnit XML, for CI")
    parser.add_argument("--version", action="version", version=f"modelab {VERSION}")


# %% [markdown]
# Labels come from a file, or from the class folders, or from a table beside the pictures.

# %%
#| export evaluation.audit_command
def _labelled(source: SampleFile | None, table: str | LabelFile | None) -> LabelSet | None:
    "What a file of labels, or the source itself, says of the examples; None: nothing."
    if source is None:
        return None
    if table is not None:
        return read_labels(table, source.names or len(source))
    known = source.labels
    return None if known is None else LabelSet(known, list(source.label_names or []), [])


# %% [markdown]
# Attributes are a table of 0 and 1, classes are one number each. Both may stand beside the pictures; a file that an option names comes first.

# %%
#| export evaluation.audit_command
def _attributes_of(source: SampleFile, table: LabelFile | None,
                   beside: LabelSet | None) -> tuple[LabelSet | None, str]:
    "The attributes of some examples, or None, and a name if there is only one."
    if table is None:
        return (beside if beside and beside.labels.ndim == 2 else None), ""
    alone = table.path.stem if table.column is None else table.column
    return _labelled(source, table), alone


# %% [markdown]
# Reading pictures may take minutes, and reading the names in a table is quick. So the tables of attributes and the option `--together` are checked before any picture is opened. Attributes of another kind of file are known only when it is read. A table that was looked at is kept, so that it is not read again.

# %%
#| export evaluation.audit_command
def _check_attributes(args: argparse.Namespace) -> dict[str, LabelFile]:
    "The files of attributes by option; refuses cells that are no 0 or 1, and a wrong `--together`."
    files, known = {}, []
    for option in ("sample_attributes", "attributes"):
        if (path := getattr(args, option)) is None:
            known = []
            continue
        try:
            files[option] = LabelFile(path)
            known = attribute_names(files[option])
        except ValueError as error:
            raise ValueError(f"--{option.replace('_', '-')}: {error}") from error
    if known:
        check_pairs("--together", args.together or (), known)
    return files

# %% [markdown]
# `_read_annotations` collects all that is known of the examples. It takes a file out of `files` once it is read, so that a large table is not kept during the audit.

# %%
#| export evaluation.audit_command
def _read_annotations(args: argparse.Namespace, files: dict[str, LabelFile],
                      reference: SampleFile, samples: SampleFile, holdout: SampleFile | None,
                      ) -> tuple[torch.Tensor | None, Annotations, list[str]]:
    "Classes of the reference, all that is known beside them, and notes."
    classes = [_labelled(reference, args.labels), _labelled(samples, args.sample_labels),
               _labelled(holdout, None)]
    shows = (_attributes_of(reference, files.pop("attributes", None), classes[0]),
             _attributes_of(samples, files.pop("sample_attributes", None), classes[1]))
    if shows[0][0] is None and (args.sample_attributes or args.together):
        raise ValueError("--attributes: expected those of the reference, too, got none")
    notes = [note for found in (*classes, shows[0][0], shows[1][0]) if found
             for note in found.notes]
    classes = [found if found and found.labels.ndim == 1 else None for found in classes]
    if classes[0] is None and args.sample_labels:
        raise ValueError("--sample-labels: the reference has no classes; give --labels, too")
    known = matched_attributes(*shows, tuple(args.together or ()))
    check_pairs("--together", args.together or (), known.get("names", ()))
    conditions, more = matched_classes(*classes)
    reference.label_names = classes[0] and classes[0].label_names
    return (classes[0] and classes[0].labels, Annotations(**known, **conditions), notes + more)


# %% [markdown]
# An audit of large files takes minutes. So whatever would make the writing of reports fail is checked before: packages that a page needs, folders that do not exist, files that cannot be written. `_check_place` checks one path:

# %%
#| export evaluation.audit_command
def _check_place(option: str, place: Path) -> None:
    "Refuse a path where no file can be written."
    if place.name == "-":
        raise ValueError(f"--{option}: expected the name of a file, got -")
    if not place.parent.is_dir():
        raise ValueError(f"--{option}: there is no folder {place.parent}")
    if place.is_dir():
        raise ValueError(f"--{option}: {place} is a folder, expected a file")
    if not os.access(place.parent, os.W_OK):
        raise ValueError(f"--{option}: no file can be written into {place.parent}")


# %% [markdown]
# A slip such as `--out train.npy` must not overwrite the data. A file may have several paths, for example through a link, so files are compared and not their names. `samples.npz:images` means a file `samples.npz`. A file that lies in an input folder is data as well, unless its suffix says that it is an earlier report.

# %%
#| export evaluation.audit_command
def _is_input(place: Path, source: str) -> bool:
    "Whether a file is an input, or lies in an input folder and is no report."
    if not place.exists():
        return False
    parts = source.split(":")
    paths = [Path(":".join(parts[:i + 1])) for i in range(len(parts))]
    paths += [Path(parts[0].replace(".", os.sep) + ".py")] * (len(parts) > 1)  # of module:function
    known = [path.resolve() for path in paths if path.exists()]
    report = place.suffix.lower() in (".html", ".json", ".xml")
    return any(place.samefile(path) or not report and path.is_dir()
               and place.resolve().is_relative_to(path) for path in known)


# %% [markdown]
# `check_outputs` makes all of these checks. The command `modelab compare` uses it, too.

# %%
#| export evaluation.audit_command
def check_outputs(inputs: Iterable[str | None],  # paths that the command reads; None: not given
                  packages: Iterable[str],  # that the page of `out` needs
                  **paths: str | None) -> None:  # to write, by option; None: not given
    "Refuse reports that cannot be written, or that would overwrite an input or each other."
    read, seen = [path for path in inputs if path], {}
    asked = {option: Path(path) for option, path in paths.items() if path is not None}
    for option, place in asked.items():
        _check_place(option, place.absolute())
        if any(_is_input(place, path) for path in read):
            raise ValueError(f"--{option}: {place} is an input of this command, "
                             "which the report would overwrite; give another path")
        other = seen.setdefault(place.resolve(), option)
        if other != option:
            raise ValueError(f"--{option}: {place} is also the file of --{other}")
    if "out" in asked:
        check_packages("--out: a page", packages)


# %%
with tempfile.TemporaryDirectory() as place:
    data = Path(place, "train.npy")
    np.save(data, np.zeros(3))
    Path(place, "link.npy").symlink_to(data)
    for out in (str(data), f"{place}/link.npy", f"{place}/../{Path(place).name}/train.npy"):
        said = error_message(check_outputs, [str(data)], (), out=out)
        assert "is an input of this command" in said
    check_outputs([str(data)], (), out=f"{place}/report.html")
error_message(check_outputs, [], ["absent"], out="a")

# %% [markdown]
# Held-out data must be new. `check_holdout` refuses a file that is also another input.

# %%
#| export evaluation.audit_command
def check_holdout(holdout: str | None, **others: str) -> None:  # paths
    "Refuse held-out data that is the same file as another input."
    for name, path in others.items():
        if holdout is not None and Path(path).resolve() == Path(holdout).resolve():
            raise ValueError(f"--holdout: the same file as {name}, expected data that is neither "
                             "trained on nor generated")


# %% [markdown]
# The baseline is read before the work, too.

# %%
#| export evaluation.audit_command
def _read_baseline(path: str | None) -> Any:
    "An earlier report, or None."
    if path is None:
        return None
    try:
        earlier = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"--baseline: {path} is not readable as JSON: {error}") from error
    earlier_findings(earlier)
    return earlier


# %% [markdown]
# `_read_and_audit` reads the files and runs the audit.

# %%
#| export evaluation.audit_command
def _read_and_audit(args: argparse.Namespace, files: dict[str, LabelFile]) -> Report:
    "The report on the files of the command line, brought to one shape, range and size."
    check_int("--most", args.most, 4 * AUDIT_NEIGHBOURS)
    memory, features = memory_bytes(args.memory), command_features(args)
    sources, notes = open_matched(args, args.reference, args.samples, args.holdout)
    reference, samples, holdout = sources
    labels, known, said = _read_annotations(args, files, *sources)
    notes += said
    report = audit(samples, reference, holdout, labels, features, level=args.level, most=args.most,
                   transformed=not args.no_transformed, memory=memory, annotations=known)
    known = tuple(report.notes)
    report.notes[:0] = [note for note in notes if not note.endswith(known)] if known else notes
    report.notes += dict.fromkeys(getattr(features, "notes", []))
    return report


# %% [markdown]
# `_write_reports` writes each report that was asked for.

# %%
#| export evaluation.audit_command
def _write_reports(report: Report, args: argparse.Namespace, worse: set[str] | None) -> None:
    "Write the files that the options name; `worse` than the baseline, if there is one."
    if args.json is not None:
        text = json.dumps(report.to_json(), indent=1) + "\n"
        write_report("--json", args.json, text.encode())
    if args.out is not None:
        page = html_document(report, Path(args.out).absolute().parent)
        write_report("--out", args.out, page)
    if args.junit is not None:
        write_report("--junit", args.junit, junit_xml(report, worse))


# %% [markdown]
# With a baseline, old faults do not fail again: the status is 1 only if a finding is worse, or if a test alarms that did not alarm before.

# %%
#| export evaluation.audit_command
def _run_audit(args: argparse.Namespace) -> int:
    "What `modelab audit` does: check, read, audit, write, print; returns the exit status."
    inputs = [args.samples, args.reference, args.holdout, args.features,
              args.labels, args.sample_labels, args.attributes, args.sample_attributes]
    if not (args.json and args.baseline and Path(args.json).resolve()
            == Path(args.baseline).resolve()):  # else it is read first, then written whole
        inputs.append(args.baseline)
    check_outputs(inputs, ("matplotlib", "seaborn", "PIL"),
                  out=args.out, json=args.json, junit=args.junit)
    check_holdout(args.holdout, reference=args.reference, samples=args.samples)
    files = _check_attributes(args)
    earlier = _read_baseline(args.baseline)
    report = _read_and_audit(args, files)
    changes = [] if earlier is None else changes_since(report, earlier)
    report.since = "" if earlier is None else worse_or_not(changes, Path(args.baseline).name)
    _write_reports(report, args, None if earlier is None else worse_parts(changes))
    print(utf8_text(str(report)))
    for change in changes:
        print(utf8_text(f"since {Path(args.baseline).name}: {change}"))
    if earlier is None:
        return report.status
    return int(report.since.startswith("Worse"))


# %%
from modelab.__main__ import main

folder = tempfile.TemporaryDirectory()
for name, x in (("made", made), ("train", train), ("unseen", unseen)):
    np.save(f"{folder.name}/{name}.npy", x.numpy())
paths = {name: f"{folder.name}/{name}" for name in "made.npy train.npy unseen.npy".split()}
ask = ["audit", paths["made.npy"], "--reference", paths["train.npy"],
       "--holdout", paths["unseen.npy"]]
status = main([*ask, "--json", f"{folder.name}/last.json", "--out", f"{folder.name}/report.html"])
assert status == 1
again = main([*ask, "--baseline", f"{folder.name}/last.json", "--junit", f"{folder.name}/a.xml"])
assert again == 0

# %% [markdown]
# ## In a CI job
# Here a job trains a generator and keeps it only if it is no worse than the last one. On GitHub the action in the root of this repository installs the library, runs the command and shows its text as the summary of the job. A baseline that is not there yet, as in the first run, is left out.
#
# ```yaml
# - uses: actions/setup-python@v5
#   with:
#     python-version: "3.12"
# - uses: <owner of this repository>/modelab@main
#   with:
#     samples: made/
#     reference: train/
#     holdout: test/
#     baseline: last.json
#     report: audit.html
#     json: audit.json
#     junit: audit.xml
# - uses: actions/upload-artifact@v4
#   if: always()
#   with:
#     name: audit
#     path: audit.*
# ```
#
# Other services take one line:
#
# ```sh
# modelab audit made/ --reference train/ --holdout test/ \
#   --baseline last.json --json audit.json --junit audit.xml --out audit.html
# ```
#
# Without `--baseline` any alarm fails the job. A perfect generator then fails it in at most one of twenty runs; `--level 0.001` makes that one of a thousand, at the price of power.

# %% [markdown]
# ## Recap
# - A report names examples, by index and by file. A person can look at them.
# - "Worse than last time" needs two intervals, not two numbers.
# - Each line "no sign of" a fault names the smallest fault that would have been seen.
# - A crash has the exit status 2, a finding has 1, and a sound report 0.
