"""Which row files a test wrote, which of them it computed with, and which of them nothing can be computed with."""

from __future__ import annotations

from tracer.starter import Starter


class Ledger:
    """Row files of one test, whatever class they name: that is edited by who knows what computes it."""

    def __init__(self) -> None:
        self.open_for("", None)

    def open_for(self, test: str, told: str | None) -> None:
        """Another test, and its docstring."""
        self._files: dict[str, Starter] = {}
        self._answered: set[str] = set()
        self._test, self._told = test, told

    def written(self, found: Starter) -> Starter:
        self._files[_rows(found.text)] = found
        return found

    def file(self, text: str) -> Starter:
        """What a file was written from."""
        return self._files[_rows(text)]

    def computed(self, text: str) -> None:
        """It was loaded for a forward pass."""
        self._answered.add(_rows(text))

    def uncomputed(self, found: Starter, *, numberless: bool = False) -> None:
        """No forward pass goes through it, and the test's docstring says why.

        The file must say itself that it does not load, or that nothing applies what it loads, unless the checkpoint is
        one of headers, without numbers to compute with.
        """
        assert self._told, f"{self._test} does not say why no forward pass goes through its row file"
        assert numberless or (not found.loads and "# TODO " in found.text) or found.unapplied
        self._answered.add(_rows(found.text))

    def open(self) -> list[str]:
        """The files that were neither, by how they begin."""
        left = [found.text for rows, found in self._files.items() if rows not in self._answered]
        return [text.partition("[[")[0] for text in left]


def _rows(text: str) -> str:
    """Without the class, and without what is only told."""
    return "\n".join(line for line in text.splitlines() if line and not line.startswith(("#", "architecture = ")))


ledger = Ledger()
