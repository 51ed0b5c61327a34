"""ISO 3166: today's from pycountry, with some changes of the years since 2017 undone."""

from __future__ import annotations

from typing import Any

import pycountry

Row = dict[str, Any]

FORMER_COUNTRIES: dict[str, Row] = {
    "SZ": {"name": "Swaziland", "official_name": "Kingdom of Swaziland"},
    "MK": {
        "name": "Macedonia, the former Yugoslav Republic of",
        "official_name": "The former Yugoslav Republic of Macedonia",
    },
    "TR": {"name": "Turkey", "official_name": "Republic of Turkey"},
}

FORMER_SUBDIVISIONS: dict[str, Row] = {
    "IN-DD": {"name": "Damān and Diu", "category": "Union territory"},
    "IN-DN": {"name": "Dādra and Nagar Haveli", "category": "Union territory"},
    "LV-102": {"name": "Varakļānu novads", "category": "Municipality"},
    "NP-P1": {"name": "Province 1", "category": "Province"},
    "NP-P2": {"name": "Province 2", "category": "Province"},
    "NP-P3": {"name": "Province 3", "category": "Province"},
    "NP-P5": {"name": "Province 5", "category": "Province"},
    "PH-COM": {"name": "Compostela Valley", "category": "Province"},
}

#: Created by those changes.
NEW_SUBDIVISIONS = frozenset({"IN-DH"})


def former_countries() -> list[Row]:
    """Return the rows of the table of countries."""
    return [
        {
            "alpha_2": country.alpha_2,
            "alpha_3": country.alpha_3,
            "numeric": country.numeric,
            "name": country.name,
            "official_name": getattr(country, "official_name", None),
            **FORMER_COUNTRIES.get(country.alpha_2, {}),
        }
        for country in pycountry.countries
    ]


def former_subdivisions() -> list[Row]:
    """Return the rows of the table of subdivisions."""
    rows = {
        subdivision.code: {
            "code": subdivision.code,
            "country_code": subdivision.country_code,
            "name": subdivision.name,
            "category": subdivision.type,
        }
        for subdivision in pycountry.subdivisions
        if subdivision.code not in NEW_SUBDIVISIONS
    }
    for code, former in FORMER_SUBDIVISIONS.items():
        rows[code] = {"code": code, "country_code": code[:2], **former}
    return sorted(rows.values(), key=lambda row: str(row["code"]))
