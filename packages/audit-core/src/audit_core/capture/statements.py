"""Which statements may write, and so need the context."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Delete, Insert, TextClause, Update
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.sql.elements import ColumnClause, RollbackToSavepointClause
from sqlalchemy.sql.functions import Function, FunctionElement

# Statements that change no row of a table. Some of them refuse to run after another statement
# (SET TRANSACTION) or together with one (VACUUM), so nothing may be sent with them.
_HARMLESS = frozenset(
    """
    abort alter analyze begin checkpoint close cluster comment commit create deallocate declare
    discard drop end fetch grant listen lock move notify prepare reassign refresh reindex release
    reset revoke rollback savepoint security set show start unlisten vacuum
    """.split()
)
_LEADING_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|[(;])*([a-z]+)", re.IGNORECASE | re.DOTALL)

_FORGETTING = ("abort", "commit", "discard", "end", "reset", "rollback")
_GOES_BACK = re.compile(rf"\b(?:{'|'.join(_FORGETTING)})\b", re.IGNORECASE)

# Functions that read, beside those that SQLAlchemy knows. Any other function may write.
_READING_FUNCTIONS = frozenset(
    """
    abs age array array_length array_position array_to_string ascii avg bit_length bool_and bool_or
    btrim cardinality ceil ceiling char_length character_length chr concat_ws convert_from convert_to current_schema
    current_setting date_bin date_part date_trunc decode degrees div encode every exp extract floor
    format gen_random_uuid generate_series getdatabaseencoding greatest initcap isfinite json_agg json_build_object
    json_extract_path json_object_agg jsonb_agg jsonb_array_elements jsonb_array_length
    jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
    jsonb_extract_path_text jsonb_object_agg jsonb_path_query jsonb_to_record jsonb_typeof lag
    last_value lead least left length ln log lower lpad ltrim make_date make_interval md5 nullif
    octet_length overlay percentile_cont pg_partition_tree pg_table_is_visible pi plainto_tsquery
    position power radians regexp_match regexp_replace repeat replace reverse right round row_number
    row_to_json rpad rtrim sha256 sign split_part sqrt starts_with stddev string_agg string_to_array strpos
    substr substring timezone to_char to_date to_json to_jsonb to_number to_timestamp to_tsquery
    to_tsvector translate trim trunc ts_rank unnest upper variance version websearch_to_tsquery
    width_bucket
    """.split()
)

_known: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def may_write(context: DefaultExecutionContext, statement: str) -> bool:
    """Return whether a statement may change a row.

    Plain Core and ORM SELECTs may not. Of a text, only the first word is known.
    """
    compiled = context.compiled
    if compiled is None:
        return text_may_write(statement)
    if context.isinsert or context.isupdate or context.isdelete:
        return True
    if context.isddl:
        return False
    # Compiled statements are cached by SQLAlchemy, so each kind of SELECT is walked once.
    answer = _known.get(compiled)
    if answer is None:
        answer = _known[compiled] = _element_may_write(compiled.statement)
    return answer


def forgets_settings(context: DefaultExecutionContext, statement: str) -> bool:
    """Return whether a statement that does not write may take back what was set for the transaction.

    SQLAlchemy goes back to its savepoints by such statements, too.
    """
    compiled = context.compiled
    if compiled is not None and not isinstance(compiled.statement, (TextClause, RollbackToSavepointClause)):
        return False
    return _leading_word(statement) in _FORGETTING


def may_commit(statement: str) -> bool:
    """Return whether a statement may end transactions inside, which it may only do alone."""
    return _leading_word(statement) in ("call", "do")


def may_go_back(context: DefaultExecutionContext, statement: str) -> bool:
    """Return whether a text of several statements may take back what was set for the transaction."""
    compiled = context.compiled
    if compiled is not None and not isinstance(compiled.statement, TextClause):
        return False
    return not is_single(statement) and _GOES_BACK.search(statement) is not None


def is_single(statement: str) -> bool:
    """Return whether a text is certainly one statement; several cannot be queued."""
    return ";" not in statement.rstrip("; \t\n")


def text_may_write(statement: str) -> bool:
    """Return whether a statement of which only the text is known may change a row."""
    return not is_single(statement) or _leading_word(statement) not in _HARMLESS


def _leading_word(statement: str) -> str:
    match = _LEADING_WORD.match(statement)
    return match[1].lower() if match else ""


def _element_may_write(statement: Any) -> bool:
    if isinstance(statement, TextClause):
        return text_may_write(statement.text)
    return any(map(_part_may_write, _parts(statement)))


def _parts(statement: Any) -> Iterator[Any]:
    """Yield a statement and its parts, each once.

    A common table expression is part of all that refers to it; to walk through it each time would take time that
    grows with every reference to a reference.
    """
    found = {id(statement): statement}  # the parts are kept, so that no other takes the id of one
    waiting = [statement]
    while waiting:
        part = waiting.pop()
        yield part
        for child in part.get_children():
            if id(child) not in found:
                found[id(child)] = child
                waiting.append(child)


def _part_may_write(part: Any) -> bool:
    if isinstance(part, (Insert, Update, Delete)):
        return True
    if isinstance(part, TextClause):
        return "(" in part.text
    if isinstance(part, ColumnClause):
        return part.is_literal and "(" in part.name
    # A subclass of Function is one that SQLAlchemy knows, or the application's own.
    if type(part) is Function:
        return part.name.lower() not in _READING_FUNCTIONS
    return isinstance(part, FunctionElement) and not type(part).__module__.startswith("sqlalchemy.")
