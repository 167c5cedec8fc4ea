import io

from triptych_local.console import LONGEST_LINE, Console, Lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_lines_carry_the_name_of_their_service() -> None:
    stream = io.StringIO()
    console = Console(stream, ["gateway", "postprocess"])
    console.line("gateway", "ready")
    console.line("postprocess", "ready")
    console.note("stopping")
    assert stream.getvalue().splitlines() == [
        "gateway     | ready",
        "postprocess | ready",
        "triptych    | stopping",
    ]


def test_a_terminal_gets_one_colour_per_service() -> None:
    stream = Terminal()
    console = Console(stream, ["gateway", "encoder"])
    console.line("gateway", "a")
    console.line("encoder", "b")
    assert stream.getvalue() == "\x1b[36mgateway  |\x1b[0m a\n\x1b[32mencoder  |\x1b[0m b\n"


def test_a_closed_terminal_is_no_error() -> None:
    Console(Closed(), []).note("nobody reads this")


def test_lines_are_joined_across_reads() -> None:
    lines = Lines()
    assert list(lines.feed(b"one\ntw")) == ["one"]
    assert list(lines.feed(b"o\r\nthree\nfo")) == ["two", "three"]
    assert list(lines.end()) == ["fo"]
    assert list(lines.end()) == []


def test_a_character_cut_by_a_read_is_whole_again() -> None:
    first, second = "é\n".encode()[:1], "é\n".encode()[1:]
    lines = Lines()
    assert [*lines.feed(first), *lines.feed(second)] == ["é"]


def test_a_line_without_end_is_bounded() -> None:
    lines = Lines()
    assert [len(piece) for piece in lines.feed(b"x" * LONGEST_LINE)] == [LONGEST_LINE]


def test_bytes_that_are_no_text_are_shown_all_the_same() -> None:
    assert list(Lines().feed(b"a\xffb\n")) == ["a\ufffdb"]
