"""The shortest thing of a kind that is right, as YAML: what must be given, each as an example."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from sentinel.strict.describe import describe_type, find_example


def write_sample(shelf: str, name: str, options: type[BaseModel] | None) -> str:
    """As it stands in a file."""
    if shelf == "check":
        lines = [f"- name: my-{name.replace('_', '-')}", f"  kind: {name}", "  component: NAME"]
        return "\n".join([*lines, *_indent(options, "  ")])
    if shelf == "driver":
        lines = ["components:", "  NAME:", f"    driver: {name}"]
        return "\n".join([*lines, *_indent(options, "    ")])
    if shelf == "chore":
        lines = ["housekeeping:", f"  - name: my-{name.replace('_', '-')}", f"    kind: {name}"]
        return "\n".join([*lines, *_indent(options, "    ")])
    if shelf == "report":
        return f'reports:\n  - {{kind: {name}, cron: "0 8 * * *"}}'
    lines = ["channels:", "  NAME:", f"    kind: {name}"]
    return "\n".join([*lines, *_indent(options, "    ")])


def _indent(options: type[BaseModel] | None, indent: str) -> Iterator[str]:
    yield from (f"{indent}{line}" for line in _write(options) if options is not None)


def _write(options: type[BaseModel] | None) -> Iterator[str]:
    """What is required of a model, as its author writes it, or as its type tells."""
    for name, field in options.model_fields.items() if options is not None else ():
        if not (field.is_required() or field.examples):
            continue
        key, inner = field.alias or name, field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and not field.examples:
            yield f"{key}:"
            yield from (f"  {line}" for line in _write(inner))
        else:
            words = describe_type(inner, field.metadata)
            yield f"{key}: {find_example(field, words, 'required') or '…'}"
