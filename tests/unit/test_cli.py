"""The command line without an exchange: prices, help texts, and what wrong use and a missing
exchange answer.
"""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rtes.client import testing
from rtes.client.cli import COMMANDS, cli
from rtes.client.cli_common import listed, show_table
from rtes.client.cli_money import amount, in_words, money, price_or_none, ticks
from rtes.client.errors import Rejected, RtesError
from rtes.common.config import load
from rtes.common.httpserver import Server, Site
from rtes.common.messages import SecurityList
from rtes.common.refusals import Code
from rtes.services.health.core import Health, Snapshot
from rtes.services.health.views import respond


def instrument(tick: str = "0.01", increment: int = 1, lot: str = "1") -> SecurityList:
    return SecurityList("", 1, "XYZ", 0, tick, lot, "USD", increment, 1, 1, 1_000, 100, "")


CENTS = instrument()
HALVES = instrument(increment=50, lot="0.0001")


def run(*arguments: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, env=environ, prog_name="rtes")


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[str]:
    """A configuration whose exchange does not run and has no keys."""
    path, offset = tmp_path / "config.json", testing.free_offset()
    exchange = {
        "port_offset": offset,
        "instruments": str(Path("configs/instruments.json").resolve()),
    }
    tree = {"environment": "dev", "mesh": {"run_dir": str(tmp_path)}, "exchange": exchange}
    path.write_text(json.dumps(tree))
    yield str(path)
    testing.release_offset(offset)


class TestMoney:
    @pytest.mark.parametrize(
        ("price", "of", "expected"),
        [
            ("585", CENTS, 58_500),
            ("585.00", CENTS, 58_500),
            ("0.01", CENTS, 1),
            ("5.85E+2", CENTS, 58_500),
            ("65000.50", HALVES, 6_500_050),
            ("15", instrument("5"), 3),
            ("0.3", instrument("0.1"), 3),
        ],
    )
    def test_price_becomes_ticks(self, price: str, of: SecurityList, expected: int) -> None:
        assert ticks(Decimal(price), of) == expected

    @pytest.mark.parametrize(
        ("price", "of", "nearest"),
        [
            ("585.005", CENTS, "the nearest are 585.00 and 585.01"),
            ("65000.30", HALVES, "the nearest are 65000.00 and 65000.50"),
            ("0.001", CENTS, "the nearest is 0.01"),
            ("0.0100000000000000001", CENTS, "the nearest are 0.01 and 0.02"),
        ],
    )
    def test_what_is_no_price_is_refused_with_the_nearest(
        self, price: str, of: SecurityList, nearest: str
    ) -> None:
        with pytest.raises(RtesError, match=nearest.replace(".", r"\.")):
            ticks(Decimal(price), of)

    def test_price_beyond_the_protocol_is_refused(self) -> None:
        assert ticks(Decimal(10**10), CENTS) == 10**12
        with pytest.raises(RtesError, match=r"largest price, 10000000000\.00"):
            ticks(Decimal(10**10) + Decimal("0.01"), CENTS)

    @given(
        st.integers(1, 10**9),
        st.sampled_from([CENTS, HALVES, instrument("0.00000001"), instrument("0.25", 2)]),
    )
    def test_there_and_back(self, steps: int, of: SecurityList) -> None:
        price = steps * of.min_price_increment
        assert ticks(Decimal(money(price, of)), of) == price

    def test_no_price_and_averages(self) -> None:
        assert price_or_none(0, CENTS) is None
        assert price_or_none(5, CENTS) == "0.05"
        assert money(58_500.4, CENTS) == "585.00"

    def test_amount_has_a_currency(self) -> None:
        assert amount(6_500_000 * 10_000, HALVES) == "65000 USD"

    @pytest.mark.parametrize(
        ("code", "limit", "value", "text"),
        [
            (Code.PRICE_BAND, 64_350, 90_000, "price 900.00 is beyond the band edge 643.50"),
            (Code.PRICE_INCREMENT, 5, 58_501, "price 585.01 is not a multiple of 0.05"),
            (Code.NOTIONAL, 100, 1_000_050, "order value 10000.5 USD exceeds 1 USD"),
            (Code.INVALID_FIELDS, 0, 99, "--stop, or the lack of it, does not fit"),
            (Code.POST_ONLY_WOULD_TRADE, 58_500, 58_400, "at 584.00 would trade with 585.00"),
            (Code.ORDER_SIZE, 100, 101, "quantity 101 is outside the limit 100"),
        ],
    )
    def test_refusals_speak_of_money(self, code: Code, limit: int, value: int, text: str) -> None:
        told = in_words(Rejected(code, limit, value), CENTS)
        assert str(told).startswith(f"{code.name}: ")
        assert text in str(told)
        assert (told.code, told.limit, told.value) == (code, limit, value)

    def test_unknown_symbols(self) -> None:
        with pytest.raises(RtesError, match="XZY is not listed; did you mean XYZ"):
            listed({"XYZ": CENTS}, "XZY")
        with pytest.raises(RtesError, match="Q is not listed; there are XYZ"):
            listed({"XYZ": CENTS}, "Q")


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from leaves(child, (*path, name))


class TestHelp:
    def test_lists_every_command_without_importing_it(self) -> None:
        program = (
            "import sys; from rtes.client.cli import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "print(*[m for m in sys.modules if 'cli_' in m or 'rich' in m], file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True
        )
        assert done.stderr.strip() == ""
        for name, lazy in COMMANDS.items():
            assert f"  {name} " in done.stdout
            assert lazy.help in done.stdout

    @pytest.mark.parametrize("path", list(leaves(cli)), ids=" ".join)
    def test_every_command_explains_itself(self, path: tuple[str, ...]) -> None:
        result = run(*path, "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: rtes {' '.join(path)}")
        assert "Traceback" not in result.output

    def test_without_a_command_it_is_a_wrong_use(self) -> None:
        result = run()
        assert result.exit_code == 2
        assert "Commands:" in result.output


class TestWrongUse:
    @pytest.mark.parametrize(
        ("line", "text"),
        [
            ("nosuch", "No such command 'nosuch'"),
            ("ordr", "No such command 'ordr'. (Did you mean one of: 'order', 'orders'?)"),
            ("order hold AAPL 1", "No such command 'hold'"),
            ("order buy AAPL", "Missing argument 'QTY'"),
            ("order buy AAPL 0", "0 is not in the range"),
            ("order buy AAPL -5 590", "-5 is below zero; quantities and prices are above it"),
            ("order sell AAPL 5 -590.5", "-590.5 is below zero"),
            ("order buy AAPL 1 abc", "'abc' is not a price; write it like 585.25"),
            ("order buy AAPL 1 nan", "'nan' is not a price above zero"),
            ("order buy AAPL 1 1e999999", "has more than 20 digits"),
            ("order buy AAPL 1 1e-999999", "has more than 20 digits"),
            ("order buy AAPL 1 0.01000000000000000000001", "has more than 20 digits"),
            ("order buy AAPL 1 --price 0", "'0' is not a price above zero"),
            ("order buy AAPL 1 --stop x", "Invalid value for '--stop'"),
            ("order buy AAPL 1 5 --price 5", "the price is given twice"),
            ("order buy AAPL 1 --tif never", "'never' is not one of 'day'"),
            ("cancel", "say which order"),
            ("cancel 5", "say which order"),
            ("cancel 5 AAPL --all", "not both"),
            ("replace 5 AAPL", "give --qty, --price or both"),
            ("kill stop", "'stop' is not one of 'suspend', 'halt', 'reinstate'"),
            ("kill halt", "say what to stop"),
            ("kill halt --symbol AAPL --session", "--session goes with --account alone"),
            ("completion tcsh", "'tcsh' is not one of"),
        ],
    )
    def test_is_exit_code_2(self, line: str, text: str) -> None:
        result = run(*line.split())
        assert result.exit_code == 2
        assert text in result.stderr
        assert result.stdout == ""


class TestErrors:
    @pytest.mark.parametrize(
        "line",
        [
            "order buy AAPL 1 585",
            "cancel --all",
            "cancel 1 AAPL",
            "replace 1 AAPL --qty 1",
            "orders",
            "positions",
            "usage --json",
            "instruments",
            "book AAPL",
            "tape",
            "kill halt --symbol AAPL",
        ],
    )
    def test_without_keys(self, line: str, profile: str) -> None:
        result = run(*line.split(), "--profile", profile)
        assert result.exit_code == 1
        assert "no key" in result.stderr
        assert "start the exchange first: scripts/start.sh" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert result.stdout == ""

    def test_no_such_profile(self) -> None:
        result = run("orders", environ={"RTES_ENVIRONMENT": "nosuch"})
        assert result.exit_code == 1
        assert "nosuch: No such file or directory; profiles are dev" in result.stderr

    def test_bad_setting(self, profile: str) -> None:
        result = run(
            "config", "check", "--profile", profile, environ={"RTES__EXCHANGE__TCP_PORT": "5"}
        )
        assert result.exit_code == 1
        assert "RTES__EXCHANGE__TCP_PORT: exchange.tcp_port = '5'" in result.stderr

    def test_market_data_of_unlisted_symbols(self, profile: str) -> None:
        for line in ("book AAPX --once", "tape MSFT AAPX"):
            result = run(*line.split(), "--profile", profile)
            assert result.exit_code == 1
            assert result.stderr == "Error: AAPX is not listed; did you mean AAPL?\n"

    def test_broken_instruments(self, profile: str, tmp_path: Path) -> None:
        file = tmp_path / "instruments.json"
        file.write_text("{")
        result = run(
            "tape", "--profile", profile, environ={"RTES__EXCHANGE__INSTRUMENTS": str(file)}
        )
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {file}: ")


EXPECTED = {("matcher", 0): True}
MATCHER = {"service": "matcher", "shard": 0, "pid": 7, "start_ns": 0, "ready": True}


@pytest.fixture
def page(profile: str) -> Iterator[Health]:
    """A health page of its own at the profile's address."""
    exchange = load(profile, {}).exchange
    health = Health(EXPECTED)
    own = Snapshot("health", 0, 1, 0, True)
    loop = asyncio.new_event_loop()
    site = Site(lambda request: respond(request, health.report(0, own), {"pid": 1}), {})
    server = Server(site)
    listener = loop.run_until_complete(server.listen(exchange.host, exchange.ports["http"]))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield health
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    listener.close()
    loop.run_until_complete(listener.wait_closed())
    loop.close()


class TestStatus:
    def test_no_exchange(self, profile: str) -> None:
        result = run("status", "--profile", profile)
        assert result.exit_code == 1
        assert "is the exchange running (scripts/start.sh)?" in result.stderr
        assert len(result.stderr.splitlines()) == 1

    def test_healthy(self, page: Health, profile: str) -> None:
        page.poll([msgspec.msgpack.encode(MATCHER)], 0)
        result = run("status", "--profile", profile)
        assert result.exit_code == 0
        first, head, row, _own = result.stdout.splitlines()
        assert first.endswith(": healthy")
        assert head.split() == ["service", "shard", "status", "pid", "age", "why"]
        assert row.split() == ["matcher", "0", "healthy", "7", "0.0", "s"]

    def test_unhealthy(self, page: Health, profile: str) -> None:
        result = run("status", "--profile", profile)
        assert result.exit_code == 1
        assert result.stdout.splitlines()[0].endswith(": unhealthy")
        assert result.stdout.splitlines()[2].rstrip().endswith("not heard of yet")
        result = run("status", "--profile", profile, "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)["services"][0]["why"] == ["not heard of yet"]

    def test_another_server_there(self, profile: str) -> None:
        exchange = load(profile, {}).exchange
        with socket.create_server((exchange.host, exchange.ports["http"])) as server:
            thread = threading.Thread(target=answer_once, args=(server, b"[1]"))
            thread.start()
            result = run("status", "--profile", profile)
            thread.join()
        assert result.exit_code == 1
        assert result.stderr.rstrip().endswith("/health is not an RTES exchange")


def answer_once(server: socket.socket, body: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(4_096)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body)


class TestTools:
    def test_version(self) -> None:
        assert run("version").stdout.startswith("rtes ")
        assert set(json.loads(run("version", "--json").stdout)) == {"version", "compiled"}

    def test_config(self, profile: str) -> None:
        good = run("config", "check", "--profile", profile)
        assert (good.exit_code, good.stdout) == (0, f"{profile}: the configuration is good\n")
        shown = run("config", "show", "--profile", profile, "--json")
        assert json.loads(shown.stdout)["environment"] == "dev"

    def test_a_configuration_file_names_an_exchange_everywhere(self, profile: str) -> None:
        for words in (("paths",), ("setup",), ("hosts", "list")):
            assert run(*words, "--profile", profile).exit_code == 0, words

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion(self, shell: str) -> None:
        result = run("completion", shell)
        assert result.exit_code == 0
        assert f"_RTES_COMPLETE={shell}_complete" in result.stdout


def test_a_table_shows_keys_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    keys = ["0YWj>W52[w!hXnjX]r5<+", "a[bold]b", ":smile:"]
    show_table(["key"], [[key] for key in keys], "none")
    assert capsys.readouterr().out.split() == ["key", *keys]
