"""What the server is guarded against, clause by clause, and the tests that prove it.

A test of ``core`` proves a clause for the engine, which all drivers share; where a driver could spoil it, there is a test with the
driver as well. Tests are named ``FILE::FUNCTION``, files seen from ``tests/``. This file fails when a named test is gone, when a
clause is not proved on one of the drivers it is about, and when a test of the harness proves nothing that is listed here.
"""

import ast
import functools
from pathlib import Path
from typing import NamedTuple

import pytest
from subject import DRIVERS

TESTS = Path(__file__).resolve().parent.parent
ALL = frozenset(DRIVERS)
TCL = frozenset({"tclsh", "tkinter"})
PYTHON = ALL - TCL

WIRE = "hardening/test_wire.py::test_"
CALLBACKS = "hardening/test_callbacks_misbehave.py::test_"
TLS = "hardening/test_encryption.py::test_"
RESOURCES = "hardening/test_resources.py::test_"
BOTH = "drivers/test_hardening.py::test_"  #: on both drivers for Python
SESSION = "core/test_session.py::test_"
IN_TCL = "tcl/test_tcl_callbacks.py::test_"
CHANNEL = "tcl/test_tcl_channel.py::test_"
PIPE = "drivers/test_pipe.py::test_"


class Clause(NamedTuple):
    """One thing that must hold."""

    what: str
    drivers: frozenset[str]
    proof: tuple[str, ...]


def clause(what, *proof, drivers=ALL):
    return Clause(what, drivers, proof)


CLAUSES = {
    "Remote input is never code": [
        clause(
            "addresses with brackets, dollars, braces, quotes, backslashes, NUL: one argument, the text as sent",
            IN_TCL + "a_hostile_address_is_one_argument_as_sent_and_never_evaluated",
            IN_TCL + "a_hostile_client_of_python_callbacks",
            BOTH + "an_address_reaches_the_validator_as_text_or_is_refused",
            SESSION + "a_hostile_path_is_refused_or_passed_on_as_sent",
        ),
        clause(
            "command words are compared literally, be they patterns or scripts",
            IN_TCL + "a_hostile_command_word_is_never_evaluated",
            BOTH + "a_command_word_is_compared_literally",
            WIRE + "replies_are_in_order_and_well_formed_for_every_verb_in_every_case",
            SESSION + "verbs_are_compared_literally",
        ),
        clause(
            "topics of HELP, names, header fields and log lines are data, no patterns and no formats",
            BOTH + "topics_names_and_headers_are_data",
            WIRE + "every_octet_in_a_command_is_answered",
            "tcl/test_tcl_smtpd.py::test_log_lines_reach_a_redefined_stdoutcmd_as_text",
        ),
        clause(
            "no control character of a client's or a callback's in a log, a transcript or a reply",
            SESSION + "whatever_comes_the_log_carries_no_control_characters",
            SESSION + "whatever_comes_the_replies_are_well_formed",
            SESSION + "lmtp_names_recipients_without_what_they_may_hold",
            "core/test_record.py::test_controls_are_escaped_and_long_lines_cut",
            "core/test_replies.py::test_any_text_makes_one_line_of_a_log",
            BOTH + "logs_and_replies_carry_no_controls",
        ),
        clause(
            "one reply is one well-formed reply, no line over 512 octets",
            CALLBACKS + "whatever_a_callback_raises_is_one_refusal_and_the_session_goes_on",
            "core/test_replies.py::test_what_is_too_long_for_a_line_goes_on_in_the_next",
            SESSION + "no_reply_has_a_line_longer_than_clients_must_take",
        ),
        clause(
            "nothing that a terminal obeys is printed",
            "test_printing.py::test_nothing_that_a_terminal_obeys_comes_out",
            "test_printing.py::test_the_envelope_is_harmless_too",
            drivers=frozenset({"Server"}),
        ),
    ],
    "The wire": [
        clause(
            "a partial line, body or handshake stalls nobody",
            WIRE + "a_partial_line_stalls_nobody",
            WIRE + "a_body_that_does_not_go_on_stalls_nobody",
            BOTH + "a_partial_line_stalls_nobody",
            BOTH + "a_partial_handshake_stalls_nobody",
            RESOURCES + "a_slow_client_and_a_fast_one_by_turns_for_all_of_a_large_body",
        ),
        clause(
            "no line end for 32 MB: refused, memory bounded, and the session goes on",
            WIRE + "32_megabytes_without_a_line_end_are_refused_and_not_kept",
            BOTH + "no_line_end_for_32_megabytes_is_refused_and_not_held",
            WIRE + "a_body_without_a_line_end_is_one_message_whatever_its_size",
        ),
        clause(
            "long commands are taken, longer ones are 500",
            RESOURCES + "limits_are_options",
            BOTH + "long_commands_are_taken_and_longer_ones_refused",
            SESSION + "a_command_line_over_the_limit_is_500_and_the_session_goes_on",
        ),
        clause(
            "60,000 commands and no reply read: held back, and all answered later",
            WIRE + "sixty_thousand_commands_and_no_reply_read_are_held_back_and_all_answered_later",
        ),
        clause(
            "addresses of any size and nesting are read in linear time",
            WIRE + "a_monstrous_address_is_answered_and_stalls_nobody",
            BOTH + "addresses_of_any_length_get_an_answer",
            SESSION + "the_cost_of_an_address_is_linear",
            SESSION + "deep_comments_are_no_recursion",
        ),
        clause(
            "every octet in a command; one octet at a time; CR and LF apart",
            WIRE + "every_octet_in_a_command_is_answered",
            BOTH + "every_octet_in_a_command",
            WIRE + "one_octet_at_a_time_and_cr_and_lf_apart",
            BOTH + "cr_and_lf_apart",
            SESSION + "whole_or_in_pieces_or_byte_by_byte_or_answered_late_is_the_same",
        ),
        clause(
            "TLS, telnet, SSH and others on the plain port",
            WIRE + "another_protocol_is_answered_or_waited_for_and_nothing_happens",
            BOTH + "other_protocols_on_the_plain_port",
        ),
        clause(
            "pipelined sessions in one segment; more behind QUIT, and the 221 arrives; half-closed, and all replies come",
            WIRE + "pipelined_sessions_in_one_segment_are_one_session_up_to_quit",
            WIRE + "the_goodbye_arrives_with_more_behind_the_quit",
            WIRE + "a_session_half_closed_gets_all_its_replies",
        ),
        clause(
            "an HTTP request that carries mail is 421 and the end, however long its first line",
            WIRE + "an_http_request_that_carries_mail_is_turned_away",
            WIRE + "an_http_request_too_long_to_be_read_is_turned_away",
            BOTH + "a_posted_session_is_not_a_session",
            SESSION + "an_http_request_too_long_to_be_read_is_421_and_the_end",
        ),
        clause(
            "control octets in a name or an address, and names over 255 octets, are 501",
            WIRE + "a_control_octet_in_a_name_or_an_address_is_refused",
            WIRE + "a_helo_name_over_255_octets_is_refused",
            BOTH + "control_bytes_in_names_and_addresses",
            SESSION + "octets_that_are_not_utf_8_are_no_address",
        ),
        clause(
            "FIN or RST anywhere: no command or message that was cut off counts, and nothing is left",
            WIRE + "a_client_that_leaves_anywhere_delivers_what_was_whole_and_nothing_else",
            BOTH + "a_session_cut_off_anywhere_delivers_nothing_or_all",
            BOTH + "a_command_cut_off_is_not_executed",
            CHANNEL + "a_command_cut_off_by_the_end_is_not_executed",
        ),
        clause(
            "no smuggling: only CRLF.CRLF ends a message under rfc5321",
            WIRE + "no_smuggled_message_under_rfc5321",
            BOTH + "smuggling_delivers_one_message",
            SESSION + "no_other_end_of_data_than_crlf_dot_crlf_under_rfc5321",
        ),
        clause("dots are transparent, wherever the stream is cut", WIRE + "dots_are_transparent_wherever_the_stream_is_cut"),
        clause(
            "a client that talks before the greeting gets no way around the check of its host",
            CALLBACKS + "a_client_that_does_not_wait_for_a_callback_is_answered_in_order",
            BOTH + "talking_before_the_greeting_is_no_way_around_the_check_of_the_host",
            SESSION + "a_client_that_talks_before_the_greeting_gets_no_way_around_the_host_check",
        ),
        clause(
            "recipients do not leak into the next transaction; DATA without MAIL and RCPT is 503",
            WIRE + "recipients_do_not_leak_from_one_transaction_to_the_next_under_rfc5321",
            BOTH + "recipients_do_not_leak_into_the_next_transaction",
        ),
        clause(
            "malformed AUTH, BDAT and PROXY have their reply",
            "core/test_auth.py::test_what_cannot_be_decoded_is_501",
            "core/test_mechanisms.py::test_what_cannot_be_read_is_no_attempt",
            "core/test_chunks.py::test_a_size_that_is_none_is_501",
            "core/test_chunks.py::test_a_size_beyond_the_limit_is_refused_once_and_nothing_of_it_is_kept",
            "core/test_proxy.py::test_what_is_no_header_is_turned_away",
        ),
    ],
    "Callbacks": [
        clause(
            "raise anything, with any text and any code, or end in any way Tcl knows: one refusal",
            CALLBACKS + "whatever_a_callback_raises_is_one_refusal_and_the_session_goes_on",
            BOTH + "whatever_a_callback_raises_is_one_well_formed_reply",
            BOTH + "a_failure_while_others_have_been_let_in_costs_the_client_its_connection",
            BOTH + "a_refusal_code_that_is_none_is_an_error_where_it_is_made",
            IN_TCL + "half_a_character_in_what_python_says_ends_nothing",
        ),
        clause("close the connection", CALLBACKS + "a_callback_may_close_its_connection", drivers=TCL),
        clause(
            "stop the server, start it anew, configure it",
            CALLBACKS + "stop_in_a_callback_and_its_client_is_served_to_the_end",
            CALLBACKS + "start_anew_in_a_callback_and_its_client_is_served_to_the_end",
            CALLBACKS + "configure_in_a_callback_and_its_client_is_served_to_the_end",
            BOTH + "a_callback_may_stop_the_server_and_configure_it",
        ),
        clause(
            "start what runs already; call the verbs; exit; delete the interpreter",
            CALLBACKS + "a_callback_that_starts_what_runs_already_refuses",
            CALLBACKS + "a_callback_may_call_the_verbs",
            CALLBACKS + "a_script_that_exits_in_a_callback_has_said_what_was_to_be_said_and_leaves_no_child",
            CALLBACKS + "a_callback_may_delete_the_interpreter_of_its_server",
            drivers=TCL,
        ),
        clause(
            "run the event loop while more is pipelined, or for ever",
            CALLBACKS + "a_callback_that_runs_the_event_loop_for_ever_keeps_only_its_own_client",
            CALLBACKS + "many_clients_of_a_callback_that_waits_a_moment",
            IN_TCL + "replies_stay_in_order_while_a_callback_runs_the_event_loop",
            drivers=TCL,
        ),
        clause(
            "never return: the client may leave, and nothing is left",
            CALLBACKS + "a_client_that_leaves_while_a_callback_runs_leaves_nothing",
        ),
        clause(
            "a coroutine function where none can run is an error at configure time",
            BOTH + "a_coroutine_function_is_an_error_at_configure_time_where_none_can_run",
            IN_TCL + "a_coroutine_function_is_an_error_of_configure",
            drivers=ALL - {"aio.Server"},
        ),
        clause(
            "one that blocks may have a thread, or another's",
            "test_aio.py::test_a_blocking_callback_in_a_thread_lets_the_loop_go_on",
            "drivers/test_selector.py::test_a_callback_that_takes_its_time_elsewhere_keeps_only_its_own_client_waiting",
            BOTH + "a_callback_may_be_a_client_of_another_server",
            drivers=PYTHON,
        ),
    ],
    "TLS": [
        clause(
            "what was pipelined in the clear behind STARTTLS is dropped",
            TLS + "what_was_pipelined_in_the_clear_behind_starttls_is_dropped",
            BOTH + "what_was_pipelined_behind_starttls_is_dropped",
        ),
        clause(
            "after the handshake all begins anew, and a second STARTTLS is 503",
            TLS + "after_the_handshake_all_begins_anew_and_there_is_no_second_one",
            TLS + "what_comes_right_behind_the_handshake_is_answered_in_order",
            BOTH + "a_mail_over_starttls",
        ),
        clause(
            "garbage, a stall, FIN or RST in the handshake, or right behind it; octets that are no records after it",
            TLS + "garbage_for_a_handshake_ends_that_client_alone",
            TLS + "a_handshake_that_stalls_or_breaks_off_stalls_nobody_and_leaves_nothing",
            TLS + "a_client_that_leaves_right_behind_the_handshake_leaves_nothing",
            TLS + "octets_that_are_no_records_after_the_handshake_end_that_client_alone",
            BOTH + "garbage_for_a_handshake",
            BOTH + "a_client_that_leaves_in_the_handshake",
        ),
        clause(
            "no close_notify inside DATA: nothing is delivered",
            TLS + "an_end_without_close_notify_in_data_delivers_nothing",
            BOTH + "a_connection_torn_off_in_data_without_close_notify_delivers_nothing",
        ),
        clause(
            "a certificate, key or password that is no good is an error at configure or start that names the file",
            "tcl/test_tcl_tls.py::test_a_bad_file_is_an_error_of_start_that_names_it",
            "tcl/test_tcl_tls.py::test_a_wrong_password_is_an_error",
            BOTH + "a_certificate_that_cannot_be_used_is_named_at_once",
            "core/test_tls.py::test_what_is_wrong_with_a_file_is_said_with_its_name",
        ),
    ],
    "Resources": [
        clause(
            "an idle connection is held in 4 kB, and costs no processor time",
            "test_budgets.py::test_memory_per_idle_connection",
            RESOURCES + "idle_clients_cost_no_cpu",
        ),
        clause(
            "hundreds of clients that come at once are all accepted",
            RESOURCES + "hundreds_of_clients_at_once_while_the_server_is_held_up_are_all_greeted",
            BOTH + "a_thousand_clients_wait_to_be_accepted",
            BOTH + "many_clients_at_once",
        ),
        clause(
            "out of descriptors, accepting pauses and recovers",
            RESOURCES + "out_of_descriptors_it_waits_and_recovers_and_does_not_spin",
            BOTH + "out_of_descriptors_accepting_pauses_and_recovers",
        ),
        clause(
            "the 1,024th descriptor is no end",
            RESOURCES + "more_clients_than_select_can_hold_are_served_or_told_421_and_all_returns",
            RESOURCES + "clients_that_said_goodbye_and_go_on_sending_count_as_well",
            RESOURCES + "a_script_that_has_files_open_does_not_bring_the_wall_nearer",
        ),
        clause(
            "connections and resets by the hundred: descriptors, memory and state return",
            RESOURCES + "connections_by_the_hundred_leave_nothing",
            RESOURCES + "resets_in_data_by_the_hundred_leave_no_memory",
            RESOURCES + "a_connection_that_is_over_does_not_take_a_later_one_along",
            BOTH + "hundreds_of_clients_that_come_and_go_leave_nothing",
            "test_soak.py::test_a_few_seconds_with_faults_lose_double_and_leave_nothing",
        ),
        clause(
            "idle time-out, error limit, recipient limit and size limit are options",
            RESOURCES + "limits_are_options",
            RESOURCES + "a_silent_client_is_told_and_a_client_that_waits_for_a_callback_is_not_silent",
            BOTH + "limits_are_options",
            BOTH + "a_silent_client_gets_a_421_and_a_busy_one_does_not",
            BOTH + "a_client_that_waits_for_a_callback_is_not_silent",
            BOTH + "a_client_has_its_time_when_what_it_sent_ahead_has_been_answered",
            BOTH + "a_client_that_never_reads_nor_closes_is_dropped",
        ),
        clause(
            "MIME that is none has an answer in seconds",
            CALLBACKS + "a_message_that_is_hardly_one_is_answered_in_time",
            "test_parsing.py::test_every_view_of_a_hostile_message_has_an_answer",
            "test_parsing.py::test_addresses_that_are_none_are_read_as_far_as_a_limit",
            "drivers/test_tcl_mime.py::test_twenty_thousand_fields_are_read_at_once",
        ),
        clause(
            "the child of a stock tclsh killed: its clients get 421, the next one a fresh child",
            PIPE + "the_child_is_killed_and_its_clients_get_421_and_the_next_is_served",
            PIPE + "the_child_is_killed_with_nobody_connected",
            PIPE + "the_child_is_killed_while_a_callback_of_the_script_runs",
            drivers=frozenset({"tclsh"}),
        ),
        clause(
            "the child stopped, or slow: the script goes on",
            PIPE + "a_stopped_child_does_not_stop_the_script",
            PIPE + "a_stopped_child_is_given_up_and_a_fresh_one_serves",
            PIPE + "a_python_that_never_answers_is_an_error_of_start_and_is_ended",
            PIPE + "a_client_does_not_run_ahead_of_a_slow_child",
            drivers=frozenset({"tclsh"}),
        ),
        clause(
            "when the process ends, by whatever road, the child is gone",
            RESOURCES + "whatever_ends_the_process_no_child_is_left",
            PIPE + "however_a_script_ends_the_child_ends",
            PIPE + "tclsh_is_killed_while_a_python_callback_never_returns",
            drivers=TCL,
        ),
        clause(
            "the server stops, the interpreter is deleted, Python ends, with sessions live and callbacks running",
            CHANNEL + "stop_leaves_live_sessions_alone",
            CALLBACKS + "stop_in_a_callback_and_its_client_is_served_to_the_end",
            "drivers/test_tk.py::test_an_interpreter_is_deleted_with_a_session_open",
            "drivers/test_tk.py::test_python_ends_with_a_session_open",
            "drivers/test_selector.py::test_a_program_ends_while_a_callback_runs",
            "drivers/test_aio.py::test_close_cancels_callbacks_that_are_awaited",
        ),
    ],
    "In every state": [
        clause(
            "every command in every state; any bytes in any pieces: the documented outcomes and no exception",
            SESSION + "every_command_in_every_state",
            "test_fuzz.py::test_the_invariant_holds_for_any_settings_and_bytes",
            "test_fuzz.py::test_the_coverage_guided_fuzzer_runs",
            "test_fuzz.py::test_what_was_found_once_holds",
        ),
    ],
}
EVERY = [(section, each) for section, clauses in CLAUSES.items() for each in clauses]

#: The drivers that the tests of a file run on, where neither its name nor its fixtures say more.
DRIVERS_OF = {
    "core": ALL,
    "hardening": ALL,
    "test_fuzz.py": ALL,
    "test_soak.py": ALL,
    "drivers/test_hardening.py": PYTHON,
    "drivers/test_selector.py": frozenset({"Server"}),
    "drivers/test_aio.py": frozenset({"aio.Server"}),
    "drivers/test_tk.py": frozenset({"tkinter"}),
    "drivers/test_pipe.py": frozenset({"tclsh"}),
    "drivers/test_tcl_mime.py": TCL,
    "test_aio.py": frozenset({"aio.Server"}),
    "test_budgets.py": PYTHON,
    "test_parsing.py": PYTHON,
    "test_printing.py": frozenset({"Server"}),
    "tcl": frozenset({"tclsh"}),
}


@functools.cache
def functions(file):
    """Return the tests of a file by name, each with the drivers it runs on."""
    found = {}
    for node in ast.parse((TESTS / file).read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            drivers = DRIVERS_OF.get(file) or DRIVERS_OF[file.partition("/")[0]]
            if any(isinstance(mark, ast.Name) and mark.id == "TCL" for mark in node.decorator_list):
                drivers = TCL
            if file.startswith("tcl/") and "serve" in {argument.arg for argument in node.args.args}:
                drivers = TCL
            found[node.name] = drivers
    return found


@pytest.mark.parametrize(("section", "each"), EVERY, ids=[each.what for _, each in EVERY])
def test_a_clause_is_proved_on_each_driver_it_is_about(section, each):
    proved = set()
    for test in each.proof:
        file, _, name = test.partition("::")
        assert name in functions(file), f"{section}: no such test: {test}"
        proved |= functions(file)[name]
    assert proved >= each.drivers, f"{section}: not proved on {', '.join(each.drivers - proved)}"


def test_every_test_of_the_harness_proves_a_clause():
    listed = {test for _, each in EVERY for test in each.proof}
    files = [f"hardening/{file.name}" for file in Path(__file__).parent.glob("test_*.py") if file.name != Path(__file__).name]
    there = {f"{file}::{name}" for file in [*files, "drivers/test_hardening.py"] for name in functions(file)}
    assert there - listed == set()
