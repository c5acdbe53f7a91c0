"""Reminders about answers that change: prepared by the program, decided by two persons like every other.

An answer changes when its substance does (the ledger of `faq.versions`), or when a stage of the election begins. Each change leads to one
draft, which lies among the drafts of the panel and names what changed; nothing is sent by itself. `docs/quiz.md` has the reasons.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from bot.messages import Span
from bot.texts import LANGUAGES, Texts
from faq.calendar import Election, Stage
from faq.entries import Entry
from faq.reminders import DAYS, day_of
from faq.versions import Version, by_stage
from storage.broadcasts import EDITABLE, Broadcasts
from storage.drafts import TITLE_AT_MOST, Audience, Draft, OnWhatsApp, When

DAY = dt.timedelta(days=1)
NEWS_DAYS = 30
"""An older change is no news any more, and who subscribed since has seen no other answer."""
AHEAD_DAYS = 3
"""So long before a stage begins its draft is there: it has to be read and approved."""
SEND_DAYS = 7
NAMED_AT_MOST = 8
MARKS = {"": "{}", "bold": "*{}*", "italic": "_{}_", "code": "`{}`"}


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed in the answers, as drafts of reminders."""

    entries: Mapping[str, Entry]
    versions: Mapping[str, Version]
    election: Election
    texts: Texts
    broadcasts: Broadcasts

    def prepare(self, connection: Connection) -> list[int]:
        """Make a draft of every change that has none yet; their numbers. Doing it again makes nothing."""
        today = self.broadcasts.clock().date()
        return [*self._of_answers(connection, today), *self._of_stages(connection, today)]

    def move(self, connection: Connection) -> list[int]:
        """Where the day of the vote changed: what waits for a day relative to it gets its new day, as a draft that needs approval anew."""
        moved = []
        for one in self.broadcasts.listed(connection, states=EDITABLE):
            when, regions = one.draft.when, one.draft.audience.regions
            if when.label not in DAYS:
                continue
            day = day_of(when.label, self.election.in_region(regions[0] if len(regions) == 1 else ""))
            if day != when.day:
                new = replace(one.draft, when=replace(when, day=day, last=day + (when.last - when.day)))
                moved.append(self.broadcasts.save(connection, new, one.written_by, one.id))
        return moved

    def _of_answers(self, connection: Connection, today: dt.date) -> list[int]:
        """One draft for all answers whose substance changed."""
        recent = {
            f"{name}@{version.mark}": name
            for name, version in self.versions.items()
            if version.changed and dt.timedelta() <= today - version.since <= dt.timedelta(days=NEWS_DAYS) and name in self.entries
        }
        untold = sorted(self.broadcasts.untold(connection, recent)) if recent else []
        if not untold:
            return []
        names = [recent[change] for change in untold]

        def words(language: str) -> str:
            lines = []
            for name in names:
                what = ", ".join(self._plain(language, f"self_check.changes.{one}") for one in self.versions[name].changed)
                lines.append(self._line(language, self.entries[name], what))
            return self._words(language, "changed.answers", lines)

        title = self._plain("id", "changed.answers_title", {"number": len(names)})
        when = When(today, today + SEND_DAYS * DAY)
        return [self.broadcasts.prepare(connection, self._draft(title, "rules", when, words), untold)]

    def _of_stages(self, connection: Connection, today: dt.date) -> list[int]:
        """One draft for a stage that is about to begin, where it changes what holds."""
        found = []
        for stage in self.election.stages[1:]:
            change = f"{self.election.name}/{stage.id}"
            if not dt.timedelta() <= stage.begins - today <= AHEAD_DAYS * DAY or not self.broadcasts.untold(connection, [change]):
                continue
            new = [entry for entry in self.entries.values() if entry.stages == stage.id]
            sanctions = len(by_stage(self.entries.values(), self.election, stage.begins - DAY, stage.begins))
            if new or sanctions:
                found.append(self.broadcasts.prepare(connection, self._stage_draft(stage, new, sanctions), [change]))
        return found

    def _stage_draft(self, stage: Stage, new: Sequence[Entry], sanctions: int) -> Draft:
        def words(language: str) -> str:
            name = stage.name_en if language == "en" else stage.name
            facts = {"stage": name, "day": f"{stage.begins:%d/%m/%Y}", "sanctions": sanctions or ""}
            return self._words(language, "changed.stage", [self._line(language, entry) for entry in new], facts)

        title = self._plain("id", "changed.stage_title", {"stage": stage.name})
        return self._draft(title, "stages", When(stage.begins, stage.begins + 2 * DAY), words)

    def _draft(self, title: str, kind: str, when: When, words: Callable[[str], str]) -> Draft:
        texts = {language: words(language) for language in LANGUAGES}
        on_whatsapp = {language: OnWhatsApp(session=text) for language, text in texts.items()}
        return Draft(title[:TITLE_AT_MOST], kind, when, Audience(), telegram=texts, whatsapp=on_whatsapp)

    def _words(self, language: str, name: str, lines: Sequence[str], facts: Mapping[str, object] | None = None) -> str:
        more = self._plain(language, "changed.more", {"number": len(lines) - NAMED_AT_MOST}) if len(lines) > NAMED_AT_MOST else ""
        shown = "\n".join([*lines[:NAMED_AT_MOST], *([more] if more else [])])
        return _marked(self.texts.spans(language, name, {"items": shown, **(facts or {})}))

    def _line(self, language: str, entry: Entry, what: str = "") -> str:
        title = entry.title_en if language == "en" else entry.title
        verdict = self._plain(language, f"self_check.verdict.{entry.verdict}")
        return self._plain(language, "changed.line", {"title": title, "verdict": verdict, "what": f" ({what})" if what else ""})

    def _plain(self, language: str, name: str, facts: Mapping[str, object] | None = None) -> str:
        return self.texts.plain(language, name, facts)


def _marked(spans: Iterable[Span]) -> str:
    """A text as a draft writes it: style as marks."""
    return "".join(MARKS[span.style].format(span.text) for span in spans)
