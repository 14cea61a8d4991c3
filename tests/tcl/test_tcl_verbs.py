"""Verbs as procedures: scripts that add, redefine, wrap and call them."""

ECHO = "proc v address {if {[string match bad* $address]} {error no}}; smtpd::configure -validate_sender v; "


def test_a_verb_of_the_scripts_own_replies_itself(serve):
    server = serve(
        'lappend ::smtpd::commands VRFY; proc ::smtpd::VRFY {channel line} {Puts $channel "252 {$line} [state $channel domain]"}'
    )
    with server.client() as client:
        client.hello()
        assert client.command("vrfy [exit] $x", 252).lines == ["{vrfy [exit] $x} client.example"]
        client.command("NOOP", 250)


def test_a_listed_verb_without_a_procedure_is_not_implemented(serve):
    server = serve("lappend ::smtpd::commands EXPN; rename ::smtpd::NOOP {}")
    with server.client() as client:
        client.hello()
        assert client.command("EXPN x", 500).lines == ["EXPN not implemented"]
        assert client.command("NOOP", 500).lines == ["NOOP not implemented"]
        client.command("RSET", 250)


def test_a_wrapped_verb_asks_the_validator_before_it_returns(serve):
    server = serve(
        ECHO
        + "rename ::smtpd::MAIL ::smtpd::theirs; proc ::smtpd::MAIL {channel line} {theirs $channel $line; set ::seen [state $channel from]}"
    )
    with server.client() as client:
        client.hello()
        client.command("MAIL FROM:<bad@example.org>", 553)
        assert server.eval("set seen") == ""
        client.command("MAIL FROM:<good@example.org>", 250)
        assert server.eval("set seen") == "<good@example.org>"


def test_wrapped_verbs_deliver_pipelined_mails_in_order(serve):
    server = serve(
        ECHO + "foreach verb {MAIL RCPT DATA RSET QUIT} {rename ::smtpd::$verb ::smtpd::_$verb;"
        " proc ::smtpd::$verb {channel line} [string map [list %V _$verb] {%V $channel $line}]};"
        " set got {}; proc d {from to lines} {lappend ::got $from $to [lindex $lines end]}; smtpd::configure -deliver d"
    )
    with server.client() as client:
        client.hello()
        mail = b"RSET\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<%d@example.org>\r\nDATA\r\nnumber %d\r\n.\r\n"
        client.send(mail % (1, 1) + mail % (2, 2) + b"QUIT\r\n")
        client.expect(250, 250, 250, 354, 250, 250, 250, 250, 354, 250, 221)
        client.expect_end()
    assert server.eval("set got") == "<a@example.org> <1@example.org> {number 1} <a@example.org> <2@example.org> {number 2}"


def test_a_verb_that_fails_is_451_and_a_background_error(serve):
    server = serve("proc bgerror m {lappend ::errors $m}; proc ::smtpd::NOOP {channel line} {error {out of order}}")
    with server.client() as client:
        client.hello()
        client.command("NOOP", 451)
        client.command("RSET", 250)
    server.wait_until("set errors", "{out of order}")


def test_a_denied_host_gets_no_further_with_a_verb_of_the_scripts(serve):
    server = serve(
        "lappend ::smtpd::commands VRFY; proc ::smtpd::VRFY {channel line} {Puts $channel {252 here}};"
        " proc no ip {error no}; smtpd::configure -validate_host no"
    )
    with server.client() as client:
        client.expect(550)
        client.command("VRFY x", 503)


def test_a_script_may_call_a_verb_at_any_time(serve):
    server = serve("")
    with server.client() as client:
        client.hello()
        server.eval("foreach name [info vars ::smtpd::state_*] {::smtpd::NOOP [string range $name 15 end] NOOP}")
        client.expect(250)
        client.command("RSET", 250)


def test_a_redefined_deliver_has_every_message(serve):
    server = serve("proc ::smtpd::deliver channel {set ::got [list [state $channel from] [state $channel to]]}")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
    assert server.eval("set got") == "<a@example.org> <b@example.org>"


LOGIN = """
    lappend ::smtpd::commands AUTH
    proc ::smtpd::AUTH {channel line} {
        puts $channel "334 user"
        fileevent $channel readable [list answered $channel]
    }
    proc answered {channel} {
        if {[gets $channel ::user] >= 0} {
            puts $channel "235 $::user"
            fileevent $channel readable [list ::smtpd::service $channel]
        } elseif {[eof $channel]} {
            close $channel
            set ::user left
        }
    }
"""


def test_a_script_that_talks_to_its_client_by_itself_stands_in_line_with_our_replies(serve):
    server = serve(
        'lappend ::smtpd::commands XTWO; proc ::smtpd::XTWO {channel line} {puts $channel "250-one"; puts $channel "250 two"}'
    )
    with server.client() as client:
        client.hello()
        client.send("NOOP\r\nXTWO\r\nRSET\r\nXTWO\r\nQUIT\r\n")
        assert client.expect(250).text == "OK"
        assert client.expect(250).text == "one\ntwo"
        assert client.expect(250).text == "OK"
        assert client.expect(250).text == "one\ntwo"
        client.expect(221)
        client.expect_end()


def test_a_script_takes_a_connection_over_and_gives_it_back(serve):
    server = serve(LOGIN)
    with server.client() as client, server.client() as other:
        client.hello()
        other.hello()
        client.command("AUTH", 334)
        other.command("NOOP", 250)
        assert client.command("anna", 235).text == "anna"
        assert client.mail().code == 250
        client.command("AUTH", 334)
        client.command("bert", 235)
        client.quit()


def test_a_client_that_leaves_in_the_middle_of_a_scripts_dialog_is_the_scripts(serve):
    server = serve(LOGIN)
    with server.client() as client:
        client.hello()
        client.command("AUTH", 334)
    server.wait_until("set user", "left")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250


def test_a_script_without_a_handler_keeps_the_connection_to_itself(serve):
    server = serve(
        "lappend ::smtpd::commands WAIT; proc ::smtpd::WAIT {channel line} {fileevent $channel readable {}; set ::waiting $channel}"
    )
    with server.client() as client:
        client.hello()
        client.send("WAIT\r\n")
        server.wait_until("info exists waiting", "1")
        client.send("NOOP\r\n")
        server.eval("puts $waiting {250 waited}; fileevent $waiting readable [list ::smtpd::service $waiting]")
        assert client.expect(250).text == "waited"
        client.expect(250)
        client.quit()


def test_a_nested_event_loop_in_a_verb_of_the_scripts_lets_nothing_overtake(serve):
    server = serve(
        "lappend ::smtpd::commands WAIT; proc ::smtpd::WAIT {channel line} {after 50 {set ::done 1}; vwait ::done; puts $channel {250 waited}}"
    )
    with server.client() as client:
        client.hello()
        client.send("WAIT\r\n")
        client.send("NOOP\r\n")
        assert client.expect(250).text == "waited"
        assert client.expect(250).text == "OK"
        client.quit()
