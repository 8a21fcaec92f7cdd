"""What a demo is made of."""

import socket
from pathlib import Path

from tickloop.entrypoints.demo.plan import RECORDINGS, DemoOptions, Ports, children, free_port, write_settings
from tickloop.settings import load_settings


def options(home: Path) -> DemoOptions:
    return DemoOptions(home, RECORDINGS["candles"], 60.0, is_once=False, is_fresh=False, as_json=False)


def test_busy_port_gives_way_to_a_free_one() -> None:
    """And a free one is taken as wanted."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = int(busy.getsockname()[1])
        other = free_port(port)

    assert other != port
    assert free_port(port) == port


def test_settings_of_a_demo_load_and_keep_their_keys(tmp_path: Path) -> None:
    """The account of a home is made once: a second start finds its orders again."""
    write_settings(options(tmp_path), Ports(9001, 9002, 9003))
    first = load_settings(tmp_path)
    write_settings(options(tmp_path), Ports(9004, 9002, 9003))
    second = load_settings(tmp_path)

    assert (first.strategy.preset, first.strategy.order_notional, first.clock) == ("seed2023", 6000, "shared")
    assert second.exchange.rest_url == "http://127.0.0.1:9004"
    assert second.exchange.secret_key == first.exchange.secret_key


def test_clock_is_held_at_the_first_start_of_the_simulator_alone(tmp_path: Path) -> None:
    """One that fell in the middle of the market must not stop it for everybody."""
    simulator, others = children(options(tmp_path), Ports(9001, 9002, 9003))

    assert simulator.only_first == ("--hold",)
    assert "--hold" not in simulator.args
    assert [child.name for child in others] == ["pipeline", "collector", "api", "dashboard", "bot"]
