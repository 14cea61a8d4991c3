"""Our package logger, held against tcllib's: the same script, the same output."""

import re

import pytest
from tclsh import run
from without_tcllib import BARE, OUTCOMES, with_ours, without_ours

SCRIPT = OUTCOMES + r"""
proc say {args} {puts [list {*}$args]}
package require logger
set log [logger::init top]
proc ${log}::stdoutcmd {level text} {variable service; puts "<$service $level> $text"}
set kid [logger::init top::kid]
set deep [logger::init x::y::z]
namespace eval ::importer {}
outcomes {
    {logger::services} {logger::levels} {set log} {set deep} {${log}::currentloglevel} {${kid}::currentloglevel}
    {${log}::debug hello} {${log}::debug a b c} {${kid}::warn from kid} {${kid}::warn} {${log}::warn {one two}}
    {${deep}::error far} {set ${log}::service}
    {${log}::setlevel warn} {${log}::debug hidden} {${kid}::debug hidden} {${kid}::error seen} {${kid}::currentloglevel}
    {${log}::enable info} {${log}::currentloglevel} {${kid}::currentloglevel} {${log}::info hey}
    {${log}::disable error} {${log}::currentloglevel} {${log}::warn no} {${log}::critical yes}
    {${log}::disable emergency} {${log}::currentloglevel} {${log}::emergency no}
    {${log}::setlevel nope} {${log}::enable nope} {${log}::disable nope} {${log}::setlevel debug}
    {${log}::lvlchangeproc} {${log}::lvlchangeproc {say changed}} {${log}::lvlchangeproc} {${log}::setlevel error}
    {${log}::setlevel error} {${log}::enable debug} {${log}::disable debug} {${log}::lvlchangeproc nosuch} {${log}::lvlchangeproc a b}
    {${log}::setlevel debug}
    {${log}::logproc debug} {${log}::logproc debug say} {${log}::debug via say} {${log}::debug {via say}} {${log}::logproc debug}
    {${kid}::debug kid via say} {proc frame {text} {uplevel 1 {set local seen}}} {${log}::logproc warn frame} {${log}::warn x} {set local}
    {${log}::logproc info text {variable service; puts "custom $service $text"; return done}} {${log}::info x y} {${kid}::info x y}
    {${log}::logproc info} {${log}::logproc info ${log}::infocmd} {${log}::logproc nope} {${log}::logproc info nosuch} {${log}::logproc info a b c}
    {${log}::services} {${kid}::services} {${kid}::servicename} {logger::servicecmd top} {logger::servicecmd nope}
    {logger::init {}} {logger::init ::}
    {proc ${log}::noticecmd {args} {puts "mine $args"}} {${log}::notice hi there} {${kid}::notice hi}
    {logger::import top} {debug hi} {info hi}
    {logger::import -force -prefix p_ -namespace ::foo top} {::foo::p_info hi} {logger::import -all -force nope}
    {namespace eval ::importer {logger::import -namespace inner -all top}} {::importer::inner::critical yes} {::importer::inner::currentloglevel}
    {logger::setlevel warn} {set n [logger::init new]} {${n}::currentloglevel} {logger::enable debug} {${n}::currentloglevel}
    {logger::disable info} {${n}::currentloglevel} {logger::setlevel nope}
    {${kid}::delproc} {${kid}::delproc {say deleted}} {${log}::delete} {logger::services} {namespace exists $kid}
    {logger::initNamespace ::app} {::app::log::currentloglevel} {::app::log::warn text} {logger::initNamespace ::app::part info}
    {::app::part::log::currentloglevel} {${deep}::delete} {logger::services}
}
"""  # fmt: skip


@pytest.mark.parametrize("shell", ["tclsh", "tkinter"])
def test_a_script_sees_no_difference(tmp_path, shell):
    def undated(output):
        # In tkinter's Tcl our package is loaded before the script begins; and tcllib has "::::" in a message.
        return (
            re.sub(r"\[[A-Z][a-z]{2} [^]]*\d{4}\]", "[DATE]", output)
            .replace("{smtpd top ", "{top ")
            .replace("{smtpd x", "{x")
            .replace("::::", "::")
        )

    assert undated(with_ours(tmp_path, SCRIPT, shell)) == undated(without_ours(tmp_path, SCRIPT))


def test_it_needs_no_engine(tmp_path):
    script = "package require logger; set log [logger::init x]; ${log}::warn hi; puts [list [package provide smtpd] [package provide mime]]"
    result = run(tmp_path, script, TCLLIBPATH=BARE, PYSMTPD_PYTHON="/no/such/python")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[1] == "{} {}"


@pytest.mark.parametrize("package", ["logger", "mime"])
@pytest.mark.parametrize("shell", ["tclsh", "tkinter"])
def test_tcllibs_is_taken_where_there_is_one(tmp_path, shell, package):
    result = run(tmp_path, f"package require smtpd; puts [package present {package}]; exit", shell)
    assert re.fullmatch(r"[\d.]+\n", result.stdout), result.stdout + result.stderr


def test_traces_are_refused_clearly(tmp_path):
    result = run(tmp_path, "package require logger; catch {[logger::init x]::trace on} said; puts $said", TCLLIBPATH=BARE)
    assert "no execution traces" in result.stdout
