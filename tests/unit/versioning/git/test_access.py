"""Who decides about the ssh command, and what is added to it."""

import pytest

from mlops_assets.versioning.git.access import parse_settings, reaching, ssh_variables

CORE = (("core.sshcommand", "ssh -i core"),)


@pytest.mark.parametrize(
    ("environment", "settings", "command"),
    [
        ({}, (), "ssh"),
        ({}, CORE, "ssh -i core"),
        ({"GIT_SSH_COMMAND": "ssh -i mine"}, CORE, "ssh -i mine"),
        ({"GIT_SSH": "/mine"}, CORE, "ssh -i core"),
        ({"GIT_SSH_COMMAND": "KEY=1 /usr/bin/ssh -F 'a b'"}, (), "KEY=1 /usr/bin/ssh -F 'a b'"),
        ({"GIT_SSH_COMMAND": "my-wrapper", "GIT_SSH_VARIANT": "ssh"}, (), "my-wrapper"),
        ({}, (("core.sshcommand", "ssh -o BatchMode=no"),), "ssh -o BatchMode=no"),
    ],
)
def test_openssh_is_told_to_ask_nothing_after_what_the_user_says(environment, settings, command) -> None:
    given = ssh_variables(environment, settings)["GIT_SSH_COMMAND"]
    assert given.startswith(f"{command} -o BatchMode=yes -o ConnectTimeout=")


@pytest.mark.parametrize(
    ("environment", "settings", "command"),
    [
        ({"GIT_SSH_COMMAND": "my-wrapper -x"}, (), "my-wrapper -x"),
        ({"GIT_SSH_COMMAND": "plink -batch"}, (), "plink -batch"),
        ({}, (("core.sshcommand", "ssh"), ("ssh.variant", "simple")), "ssh"),
        ({}, (("core.sshcommand", "ssh -i a # of the robot"),), "ssh -i a # of the robot"),
        ({}, (("core.sshcommand", 'f() { ssh "$@"; }; f'),), 'f() { ssh "$@"; }; f'),
        ({}, (("core.sshcommand", "ssh 'open"),), "ssh 'open"),
    ],
)
def test_a_command_that_may_not_know_openssh_options_stays_as_it_is(environment, settings, command) -> None:
    assert ssh_variables(environment, settings) == {"GIT_SSH_COMMAND": command}


def test_a_program_named_by_git_ssh_gets_no_options() -> None:
    assert ssh_variables({"GIT_SSH": "/mine"}, ()) == {}


def test_settings_keep_their_order_and_repeats_and_the_users_come_last() -> None:
    user = parse_settings(
        "http.extraheader\nA: 1\0http.extraheader\nB: 2\nand more\0http.sslverify\0http.lowspeedtime\n9\0"
    )
    assert user == (
        ("http.extraheader", "A: 1"),
        ("http.extraheader", "B: 2\nand more"),
        ("http.sslverify", "true"),
        ("http.lowspeedtime", "9"),
    )
    assert reaching(user)[-4:] == user
    assert parse_settings(None) == ()
