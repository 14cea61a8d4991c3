"""What the README and the docs show runs as it stands there."""

import re
import textwrap

import pytest
from tclsh import ROOT, run

from pysmtpd.callbacks import CALLBACK_OPTIONS
from pysmtpd.options import OPTIONS
from pysmtpd.tls_options import TLS_OPTIONS

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^(?: {4}.*)?\n)+", re.MULTILINE)
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md"))


def blocks(page, language):
    return [text for name, text in BLOCK.findall(page.read_text()) if name == language]


def with_blocks(language):
    return pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, language)], ids=lambda page: page.stem)


@with_blocks("python")
def test_python_in_the_docs(page, capsys):
    """The blocks of a page stand in one program."""
    names = {"__name__": page.stem}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)  # noqa: S102 # that is the point


@with_blocks("pytest")
def test_tests_in_the_docs(page, pytester):
    for number, block in enumerate(blocks(page, "pytest")):
        pytester.makepyfile(**{f"test_{number}": block})
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--strict-markers")
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}, outcomes
    assert outcomes["passed"] >= len(blocks(page, "pytest"))


@with_blocks("tcl")
@pytest.mark.parametrize("shell", ["tclsh", "tkinter"])
def test_tcl_in_the_docs(page, shell, tmp_path):
    """The blocks of a page stand in one script, which must end well by itself."""
    finished = run(tmp_path, "\n".join(blocks(page, "tcl")), shell)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_python_in_the_readme(capsys):
    text = (ROOT / "README.md").read_text()
    programs = [block for block in map(textwrap.dedent, INDENTED.findall(text)) if block.strip().startswith("import pysmtpd")]
    assert programs
    for program in programs:
        exec(compile(program, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102 # that is the point


def test_every_option_is_in_the_docs():
    text = "".join(page.read_text() for page in PAGES)
    for name in (*CALLBACK_OPTIONS, *OPTIONS, *TLS_OPTIONS):
        assert re.search(rf"`-?{name}\b", text), name


def anchor(heading):
    """Return what a link to a heading says, as GitHub has it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_links_between_the_docs_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "examples" / "README.md", ROOT / "compat" / "README.md", *PAGES]:
        for target, part in re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
            headings = re.findall(r"^#+ (.*)$", (page.parent / target).read_text(), re.MULTILINE) if part else []
            assert not part or part in map(anchor, headings), f"{page.name} links to {target}#{part}"
