"""What is done to the register: the bulk load, the edits of two users, and one behind their backs.

Each function returns what the trail must show of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from flask_audit_logger import audit_context
from sqlalchemy import URL, insert

from examples.errors import DemoError

from ..country_register.iso3166 import (
    FORMER_COUNTRIES,
    FORMER_SUBDIVISIONS,
    Row,
    former_countries,
    former_subdivisions,
)
from ..country_register.models import Country, Subdivision, User, db
from .browser import Browser
from .trail import Change, Expected

APPLICATION = "country_register"
SCRIPT = "nepal.py"
#: Login, name, and password; the demo is reachable from this machine only.
USERS = [("ana", "Ana Lima", "ana-demo"), ("tomasz", "Tomasz Nowak", "tomasz-demo")]
CHUNK = 250
IMPORT = "import of ISO 3166"
UNION_TERRITORY = "Union territory"


@dataclass(frozen=True)
class Done:
    """One step of the demo."""

    #: The request or the statement.
    how: str
    #: Who did what.
    text: str
    #: What the trail must show; None for a step that leaves nothing in it.
    expected: Expected | None


def add_users() -> Done:
    """Add the two users; nobody is logged in yet."""
    for login, name, password in USERS:
        user = User(login=login, name=name)
        user.set_password(password)
        db.session.add(user)
    db.session.commit()
    changes = [
        # Without the hash of the password, which is excluded.
        _added("users", str(number), {"id": number, "login": login, "name": name})
        for number, (login, name, _) in enumerate(USERS, start=1)
    ]
    return Done("INSERT", "two users", Expected(None, None, APPLICATION, None, changes))


def load_register(advance: Callable[[int], None]) -> Done:
    """Load countries and subdivisions in chunks and in one transaction.

    :param advance: is told how many rows were written.
    """
    countries, subdivisions = former_countries(), former_subdivisions()
    with audit_context(actor_id=1, reason=IMPORT):
        for model, rows in ((Country, countries), (Subdivision, subdivisions)):
            for chunk in _chunks(rows):
                db.session.execute(insert(model), chunk)
                advance(len(chunk))
        db.session.commit()
    counts = {("insert", "countries"): len(countries), ("insert", "subdivisions"): len(subdivisions)}
    expected = Expected(USERS[0][1], None, APPLICATION, IMPORT, counts=counts)
    return Done("INSERT", f"{USERS[0][1]} loads the register", expected)


def edit_over_http(site: str) -> Iterator[Done]:
    """Edit the register as two users with a browser each."""
    ana = Editor(site, 0, "127.0.0.1")
    yield ana.log_in()
    yield ana.rename_country("SZ", "Eswatini", "Kingdom of Eswatini", "renamed in April 2018")
    yield ana.rename_country("MK", "North Macedonia", "Republic of North Macedonia", "Prespa agreement, February 2019")
    tomasz = Editor(site, 1, "127.0.0.2")
    yield tomasz.log_in()
    yield tomasz.rename_country("TR", "Türkiye", "Republic of Türkiye", "at the UN since June 2022")
    yield tomasz.rename_subdivision("PH-COM", "Davao de Oro", "plebiscite of 7 December 2019")
    reason = "merged on 26 January 2020"
    name = "Dādra and Nagar Haveli and Damān and Diu"
    # The code of Gujarāt by mistake: both old ones are deleted when the database refuses the new one.
    yield tomasz.merge_in_vain(["IN-DD", "IN-DN"], "IN-GJ", name, reason)
    yield tomasz.merge(["IN-DD", "IN-DN"], "IN-DH", name, reason)
    yield ana.delete_subdivision("LV-102", "joined Madonas novads on 1 July 2025")


def edit_behind_the_application(url: URL) -> Done:
    """Set the names of provinces of Nepal with one statement of SQL, without the application."""
    names = {"NP-P1": "Koshi", "NP-P2": "Madhesh", "NP-P3": "Bagmati", "NP-P5": "Lumbini"}
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, application_name=SCRIPT) as connection:
        connection.execute(
            """
            UPDATE subdivisions SET name = named.name
            FROM unnest(%s::text[], %s::text[]) AS named (code, name)
            WHERE subdivisions.code = named.code
            """,
            [list(names), list(names.values())],
        )
    changes = [_renamed("subdivisions", code, FORMER_SUBDIVISIONS[code], name=name) for code, name in names.items()]
    return Done(
        "UPDATE subdivisions",
        f"{SCRIPT} names {len(names)} provinces of Nepal, without the application",
        Expected(None, None, SCRIPT, None, changes),
    )


class Editor:
    """A logged-in user who fills in the forms of the register."""

    def __init__(self, site: str, number: int, address: str) -> None:
        self.login, self.name, self.password = USERS[number]
        self.browser = Browser(site, address)

    def log_in(self) -> Done:
        """Log in, which changes ``users.last_login`` alone."""
        how = self._submit("/login", {"login": self.login, "password": self.password})
        return self._done("logs in (only users.last_login changes: excluded)", how, None, [])

    def rename_country(self, alpha_2: str, name: str, official_name: str, reason: str) -> Done:
        """Change both names of a country."""
        former = FORMER_COUNTRIES[alpha_2]
        how = self._submit(
            f"/countries/{alpha_2}/edit", {"name": name, "official_name": official_name, "reason": reason}
        )
        change = _renamed("countries", alpha_2, former, name=name, official_name=official_name)
        return self._done(f"renames {alpha_2} to {name}", how, reason, [change])

    def rename_subdivision(self, code: str, name: str, reason: str) -> Done:
        """Change the name of a subdivision."""
        former = FORMER_SUBDIVISIONS[code]
        how = self._submit(
            f"/subdivisions/{code}/edit", {"name": name, "category": former["category"], "reason": reason}
        )
        change = _renamed("subdivisions", code, former, name=name)
        return self._done(f"renames {code} to {name}", how, reason, [change])

    def delete_subdivision(self, code: str, reason: str) -> Done:
        """Delete a subdivision."""
        how = self._submit(f"/subdivisions/{code}/edit", {"reason": reason}, f"/subdivisions/{code}/delete")
        text = f"deletes {code}"
        return self._done(text, how, reason, [_deleted(code)])

    def merge(self, merged: list[str], code: str, name: str, reason: str) -> Done:
        """Replace subdivisions with a new one."""
        how = self._merge(merged, code, name, reason)
        changes = [_deleted(old) for old in merged]
        new = {"code": code, "country_code": code[:2], "name": name, "category": UNION_TERRITORY}
        changes.append(_added("subdivisions", code, new))
        return self._done(f"merges {', '.join(merged)} into {code}", how, reason, changes)

    def merge_in_vain(self, merged: list[str], code: str, name: str, reason: str) -> Done:
        """Replace subdivisions with one whose code is taken."""
        how = self._merge(merged, code, name, reason, refused=True)
        text = f"merges {', '.join(merged)} into {code} (taken: rolled back)"
        return self._done(text, how, None, [])

    def _merge(self, merged: list[str], code: str, name: str, reason: str, *, refused: bool = False) -> str:
        country = code[:2]
        return self._submit(
            f"/countries/{country}",
            {"merged": merged, "code": code, "name": name, "category": UNION_TERRITORY, "reason": reason},
            f"/countries/{country}/merge",
            status=409 if refused else 200,
        )

    def _submit(
        self, form: str, fields: dict[str, str | list[str]], action: str | None = None, status: int = 200
    ) -> str:
        page = self.browser.submit(form, fields, action)
        request = f"POST {action or form}"
        if page.status != status:
            raise DemoError(f"{self.name}: {request} answered {page.status}, expected {status}:\n{page.text}")
        return request if status == 200 else f"{request}: {status}"

    def _done(self, text: str, how: str, reason: str | None, changes: list[Change]) -> Done:
        expected = Expected(self.name, self.browser.address, APPLICATION, reason, changes)
        return Done(how, f"{self.name} {text}", expected if changes else None)


def _renamed(table_name: str, key: str, former: Row, **names: str) -> Change:
    return Change("update", table_name, key, {column: (former[column], name) for column, name in names.items()})


def _added(table_name: str, key: str, row: Row) -> Change:
    return Change("insert", table_name, key, {column: (None, value) for column, value in row.items()})


def _deleted(code: str) -> Change:
    row = {"code": code, "country_code": code[:2], **FORMER_SUBDIVISIONS[code]}
    return Change("delete", "subdivisions", code, {column: (value, None) for column, value in row.items()})


def _chunks(rows: list[Row]) -> Iterator[list[Row]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]
