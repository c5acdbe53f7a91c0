"""A FAQ that knows a few questions by heart: real entries, no matcher, so that conversations can be tested without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from faq.calendar import Calendar, find_day
from faq.entries import Entry, load_entries, load_redirects
from faq.match import Candidate, Faq, Found

LIKE, SEEN, SHIRT = "sosmed.like-postingan", "sosmed.lihat-tanpa-interaksi", "atribut.terima-kaos"
"""One of each verdict: dilarang, boleh, bersyarat."""

ANSWERED = {"like": LIKE, "melihat unggahan": SEEN, "terima kaos": SHIRT}
"""Words by which a question is recognised, with the entry that answers it."""


class KnownFaq(Faq):
    """Answers what it knows by heart, offers a choice for "pose", hears a report in "bagi-bagi", and declines the rest."""

    def __init__(self, election: str = "") -> None:
        self.entries: Mapping[str, Entry] = load_entries()
        self.redirects = load_redirects()
        self.calendar = Calendar.load()
        self.election = self.calendar.election(election)

    def warm(self) -> None:
        """Nothing is left to read."""

    def ask(self, question: str, day: date | None = None) -> Found:
        """What is known by heart of a question."""
        words, about = question.lower(), find_day(question, day or date.today(), self.election) or day
        for known, entry in ANSWERED.items():
            if known in words:
                return Found(question, "answer", (entry,), self._named((entry,)), 0.95, None, about, "atasan" in words)
        if "pose" in words:
            return Found(question, "choose", (), self._named(("foto.dinas-dengan-petahana", LIKE, SEEN)), 0.4, None, about, False)
        if "bagi-bagi" in words:
            return Found(question, "report", (), (), 0.9, None, about, True)
        redirect = self.redirects["alih.terima-kasih"] if "makasih" in words else None
        return Found(question, "decline", (), self._named((LIKE,)), 0.1, redirect, about, False)

    def _named(self, entries: Sequence[str]) -> tuple[Candidate, ...]:
        found = [self.entries[name] for name in entries]
        return tuple(Candidate(entry.id, entry.verdict, entry.title, 0.3) for entry in found)
