"""The shell of all pages: nothing that is put into it gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from jinja2 import UndefinedError

from macro_splat.report.charts import Plot
from macro_splat.report.page import make_page, render


def test_only_our_scripts_may_run_and_nothing_may_be_loaded() -> None:
    page = make_page("base.html", "A <title>", scripts=["one();\r\n", 'const end = "</script>";'])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "<title>A &lt;title&gt;</title>" in page
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy[1]


def test_a_page_without_scripts_runs_none() -> None:
    assert "script-src 'none'" in make_page("base.html", "title")


def test_data_cannot_end_its_element() -> None:
    value = {"name": "</script><script>alert(1)</script>", "line": "\u2028"}
    element = render("training_curves.html", curves=[Plot("data", value)])
    content = re.search(r'<script type="application/json" id="data">(.*)</script>', element)
    assert content is not None
    assert "<" not in content[1]
    assert json.loads(content[1]) == value


def test_a_name_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("training_curves.html")
