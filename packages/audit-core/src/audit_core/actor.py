"""The class of those who make changes, found when it is first needed: it may be declared after the trail."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlalchemy import Dialect, Text, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapper, registry
from sqlalchemy.types import TypeEngine

from .errors import ConfigurationError


class ActorClass:
    """The model that ``actor_id`` points to; ``named`` is the class, its name, or None for no model."""

    def __init__(self, named: type[Any] | str | None, models: registry | None) -> None:
        self.named = named
        self._models = models

    @cached_property
    def found(self) -> type[Any]:
        """The mapped class.

        :raises ConfigurationError: if there is none, or several of that name.
        """
        if not isinstance(self.named, str):
            if self.named is None or inspect(self.named, raiseerr=False) is None:
                raise ConfigurationError(f"actor_cls is {self.named!r}, which is not a mapped class.")
            return self.named
        classes = [mapper.class_ for mapper in mappers_of(self._models) if mapper.class_.__name__ == self.named]
        if len(classes) != 1:
            found = "no model of that name" if not classes else "several models of that name"
            raise ConfigurationError(
                f"actor_cls is {self.named!r} and there is {found}. Give the model that makes changes, as "
                "actor_cls=MyUser, or actor_cls=None to keep actor ids as text."
            )
        (actor_cls,) = classes
        return actor_cls

    def key_type(self) -> TypeEngine[Any]:
        """Return the type of ``actor_id``: that of the actor's primary key, or text.

        :raises ConfigurationError: if the class cannot be found or has a composite key.
        """
        return Text() if self.named is None else self._key.type

    def sql_type(self) -> str:
        """Return the same as PostgreSQL names it."""
        dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        return self.key_type().compile(dialect=dialect).lower()

    @cached_property
    def _key(self) -> Any:
        mapper = inspect(self.found)
        if len(mapper.primary_key) != 1:
            columns = ", ".join(repr(column.name) for column in mapper.primary_key)
            raise ConfigurationError(
                f"actor_cls {mapper.class_.__name__!r} has a composite primary key ({columns}), and actor_id is one "
                "column. Use a model with a single key column, or actor_cls=None."
            )
        return mapper.primary_key[0]


def mappers_of(models: registry | None) -> frozenset[Mapper[Any]]:
    """Return the mappers of the application's models, if it has any."""
    return models.mappers if models is not None else frozenset()
