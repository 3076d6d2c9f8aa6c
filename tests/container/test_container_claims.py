"""The container's book of identities, ports and directories."""

from __future__ import annotations

import pytest

from container.claims import ClaimConflictError, Claims


@pytest.fixture
def claims() -> Claims:
    book = Claims()
    book.claim(
        "C_a_0", ports={10911: "listenPort", 10909: "fast port"}, paths={"/data/a": "storePathRootDir"}
    )
    return book


def test_an_identity_can_be_claimed_once(claims: Claims) -> None:
    with pytest.raises(
        ClaimConflictError, match=r"^C_a_0 has already been added to current broker container$"
    ):
        claims.claim("C_a_0", ports={}, paths={})


def test_a_fast_port_conflict_names_both_brokers_and_both_purposes(claims: Claims) -> None:
    with pytest.raises(ClaimConflictError, match=r"C_b_0: port 10911 \(fast port\).*C_a_0 \(listenPort\)"):
        claims.claim("C_b_0", ports={10913: "listenPort", 10911: "fast port"}, paths={})


def test_a_directory_conflict_names_the_directory_and_its_owner(claims: Claims) -> None:
    with pytest.raises(ClaimConflictError, match=r"C_b_0: directory /data/a .*C_a_0 \(storePathRootDir\)"):
        claims.claim("C_b_0", ports={20911: "listenPort"}, paths={"/data/a": "storePathCommitLog"})


def test_a_refused_claim_leaves_nothing_behind(claims: Claims) -> None:
    with pytest.raises(ClaimConflictError):
        claims.claim("C_b_0", ports={20911: "listenPort"}, paths={"/data/a": "storePathRootDir"})
    claims.claim("C_c_0", ports={20911: "listenPort"}, paths={"/data/b": "storePathRootDir"})
    assert set(claims.owners()) == {"C_a_0", "C_c_0"}


def test_what_is_released_can_be_claimed_again(claims: Claims) -> None:
    claims.release("C_a_0")
    claims.claim("C_b_0", ports={10911: "listenPort"}, paths={"/data/a": "storePathRootDir"})


def test_releasing_one_broker_leaves_its_neighbours_alone(claims: Claims) -> None:
    claims.claim("C_b_0", ports={20911: "listenPort"}, paths={"/data/b": "storePathRootDir"})
    claims.release("C_b_0")
    with pytest.raises(ClaimConflictError):
        claims.claim("C_c_0", ports={10911: "listenPort"}, paths={})


def test_any_number_of_brokers_may_ask_for_a_free_port(claims: Claims) -> None:
    claims.claim("C_b_0", ports={0: "listenPort"}, paths={})
    claims.claim("C_c_0", ports={0: "listenPort"}, paths={})
