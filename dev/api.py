"""Write docs/api: what is public of each package, from its signatures and docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parents[1] / "docs" / "api"

#: The modules that have a page: what is in their ``__all__``.
MODULES = (
    "audit_core",
    "audit_core.asgi",
    "audit_core.celery",
    "audit_core.testing",
    "audit_core.wsgi",
    "audit_alembic",
    "flask_audit_logger",
)


class _Written(str):
    """An annotation as it is written in the source."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_FIELD = re.compile(r"^:(param|raises|return)s? ?([\w ]*):\s*", re.MULTILINE)


def main() -> None:
    """Write all pages."""
    PAGES.mkdir(exist_ok=True)
    for module in MODULES:
        (PAGES / f"{module}.md").write_text(page(module))


def page(name: str) -> str:
    """Write the page of a module."""
    module = importlib.import_module(name)
    parts = [f"# {name}", _text(inspect.getdoc(module) or "")]
    for each in sorted(module.__all__, key=lambda name: (name[0].islower(), name)):
        documented = getattr(module, each)
        parts += _class(each, documented) if inspect.isclass(documented) else _function(each, documented, "##")
    if name == "audit_alembic":
        parts.append("## Operations")
        for operation, function in _operations():
            parts += _function(f"op.{operation}", function, "###", skip_first=True)
    return "\n\n".join(part for part in parts if part) + "\n"


def public_members(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the methods and properties of a class that are for its users, in the order in which they are written."""
    for name, member in vars(cls).items():
        if name.startswith("_") or _is_of_another(member):
            continue
        if inspect.isfunction(member) or isinstance(member, (property, classmethod)):
            yield name, member
        elif hasattr(member, "fget"):  # a hybrid property of SQLAlchemy
            yield name, property(member.fget)


def public_attributes(cls: type[Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and comment of the attributes that a class declares for its users."""
    lines, _ = inspect.getsourcelines(cls)
    source = textwrap.dedent("".join(lines))
    comments = source.splitlines()
    for node in _declarations(ast.parse(source).body[0]):
        name = node.target.id if isinstance(node.target, ast.Name) else getattr(node.target, "attr", "")
        if name.startswith("_") or "ClassVar" in ast.unparse(node.annotation):
            continue
        above: list[str] = []
        for line in reversed(comments[: node.lineno - 1]):
            if not line.strip().startswith("#:"):
                break
            above.insert(0, line.strip().removeprefix("#:").strip())
        yield name, ast.unparse(node.annotation), " ".join(above)


def _declarations(node: ast.AST) -> Iterator[ast.AnnAssign]:
    """Yield the annotated attributes of a class: in its body, and of ``self`` in its constructor."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.AnnAssign):
            if isinstance(node, (ast.ClassDef, ast.If)) or isinstance(child.target, ast.Attribute):
                yield child
        elif isinstance(child, ast.If) or (isinstance(child, ast.FunctionDef) and child.name == "__init__"):
            yield from _declarations(child)


def _class(name: str, cls: type[Any]) -> list[str]:
    doc = inspect.getdoc(cls) or ""
    parts = [f"## {name}"]
    own_init = "__init__" in vars(cls) and not issubclass(cls, Exception)
    # Users do not make what has private parameters.
    if own_init and not any(parameter.startswith("_") for parameter in inspect.signature(cls).parameters):
        parts.append(_signature(name, cls.__init__, skip_first=True))
    bases = [base.__name__ for base in cls.__bases__ if base is not object]
    parts += [f"A subclass of {', '.join(f'`{base}`' for base in bases)}." if bases else "", _text(doc)]
    attributes = [
        f"- `{attribute}: {type_}`" + (f": {_inline(comment)}" if comment else "")
        for attribute, type_, comment in public_attributes(cls)
    ]
    parts.append("\n".join(attributes))
    for member_name, member in public_members(cls):
        if isinstance(member, property):
            parts += [f"### {name}.{member_name}", _text(inspect.getdoc(member.fget) or "")]
        else:
            function = member.__func__ if isinstance(member, classmethod) else member
            parts += _function(f"{name}.{member_name}", function, "###", skip_first=True)
    return parts


def _function(name: str, function: Any, level: str, skip_first: bool = False) -> list[str]:
    signature = _signature(name.rpartition(".")[2], function, skip_first)
    return [f"{level} {name}", signature, _text(inspect.getdoc(function) or "")]


def _signature(name: str, function: Any, skip_first: bool = False) -> str:
    signature = inspect.signature(function)
    parameters = [
        each if each.annotation is each.empty else each.replace(annotation=_Written(each.annotation))
        for each in list(signature.parameters.values())[1 if skip_first else 0 :]
    ]
    returned = signature.return_annotation
    result = "" if returned in ("None", signature.empty) else f" -> {returned}"
    text = f"{name}{signature.replace(parameters=parameters, return_annotation=signature.empty)}{result}"
    if len(text) > 100:
        marks = [str(each) for each in parameters]
        kinds = [each.kind for each in parameters]
        if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
            marks.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
        text = f"{name}(\n" + "".join(f"    {mark},\n" for mark in marks) + f"){result}"
    return f"```python\n{text}\n```"


def _text(doc: str) -> str:
    """Write a docstring as Markdown, its fields as a list."""
    body, fields = [], []
    paragraphs = re.split(r"\n\s*\n", doc)
    for paragraph in paragraphs:
        if not _FIELD.match(paragraph):
            body.append(_inline(paragraph))
            continue
        for kind, subject, text in _fields(paragraph):
            lead = {"param": f"`{subject}`:", "raises": f"raises `{subject}`", "return": "returns"}[kind]
            fields.append(f"- {lead} {text}")
    return "\n\n".join([*body, "\n".join(fields)]).strip()


def _fields(paragraph: str) -> Iterator[tuple[str, str, str]]:
    found = list(_FIELD.finditer(paragraph))
    for match, after in zip(found, [*found[1:], None], strict=True):
        text = paragraph[match.end() : after.start() if after else None]
        yield match[1], match[2].strip(), _inline(" ".join(text.split()))


def _inline(text: str) -> str:
    return _ROLE.sub(lambda match: f"`{match[1].rpartition('.')[2]}`", text).replace("``", "`")


def _is_of_another(member: Any) -> bool:
    module = getattr(member, "__module__", None)
    return module is not None and not module.startswith(MODULES)


def _operations() -> list[tuple[str, Any]]:
    from alembic.operations import Operations

    members = ((name, getattr(Operations, name)) for name in vars(Operations))
    return [(name, member) for name, member in members if inspect.isfunction(member) and "audit" in name]


if __name__ == "__main__":
    main()
