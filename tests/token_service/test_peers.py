"""Whose process may ask on the socket?"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import pytest

from agent.token_service.peers import QUIET, Peers, uid_of

PATH = Path("/run/attache/tokens.sock")


@pytest.mark.must(24)
def test_the_kernel_says_who_connected() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert uid_of(one) == os.geteuid()
        assert Peers(PATH, ()).admit(one)


@pytest.mark.must(24)
def test_only_the_listed_users_are_let_in_and_others_are_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    uid, now = [1000], [0.0]
    peers = Peers(PATH, (1000, 2000), lambda _: uid[0], lambda: now[0])
    connection = socket.socket(socket.AF_UNIX)
    with connection, caplog.at_level(logging.WARNING):
        assert peers.admit(connection)
        for uid[0] in (0, 3000, 3000, 0):  # not even root, where it is not listed
            assert not peers.admit(connection)
        assert [record.args[0] for record in caplog.records if record.args] == [0, 3000]
        now[0] = QUIET
        assert not peers.admit(connection)
        assert len(caplog.records) == 3
        for uid[0] in range(5000, 5500):  # bounded, whoever comes
            peers.admit(connection)
        assert len(peers._said) <= 64


def test_a_connection_that_says_nothing_is_nobodys() -> None:
    def broken(_: socket.socket) -> int:
        raise OSError("gone")

    with socket.socket(socket.AF_UNIX) as connection:
        assert not Peers(PATH, (0,), broken).admit(connection)


def test_the_mode_is_as_narrow_as_the_list() -> None:
    me = os.geteuid()
    assert Peers(PATH, ()).mode == Peers(PATH, (me,)).mode == 0o600
    assert Peers(PATH, (me, me + 1)).mode == Peers(PATH, (me + 1,)).mode == 0o660
