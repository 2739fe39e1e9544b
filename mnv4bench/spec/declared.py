"""What ablations/NAME.py declares, read without running it, since its imports alone may take seconds."""

from __future__ import annotations

import ast
import symtable
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from mnv4bench.spec.extensions import extension_paths, load_extension, refuse_shared_steps


def check_extensions(ablations: Iterable[str], root: Path = Path()) -> None:
    """Refuse what `extensions` refuses. A file is run only where reading it does not show that it is sound.

    Raises:
        SpecError: as of `extensions`.
    """
    paths = extension_paths(ablations, root)
    steps = {name: _steps(path) or tuple(load_extension(path).steps) for name, path in paths.items()}
    refuse_shared_steps(paths, steps)


def _steps(path: Path) -> tuple[str, ...]:
    """Return the steps of a file that surely loads; none where it may not, or does not spell them out."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError, OSError):
        return ()
    if not all(_is_there(*wanted) for wanted in _imports(body)):
        return ()
    return next((_keys(node) for node in body if _is_declaration(node)), ())


def _is_declaration(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXTENSION"


def _keys(node: ast.stmt) -> tuple[str, ...]:
    call = node.value if isinstance(node, ast.Assign) else None
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "Extension":
        return ()
    steps = next((keyword.value for keyword in call.keywords if keyword.arg == "steps"), None)
    keys = steps.keys if isinstance(steps, ast.Dict) else []
    names = [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return tuple(names) if len(names) == len(keys) else ()


def _imports(body: list[ast.stmt]) -> Iterator[tuple[str, str | None]]:
    """Yield each imported module, with the name that is taken from it."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def _is_there(module: str, name: str | None) -> bool:
    """Return whether a module exists, and where it is this package's, whether it or its folder has the name."""
    if module.partition(".")[0] in sys.stdlib_module_names:
        return True
    found = _find(module)
    if found is None or name is None or module.partition(".")[0] != "mnv4bench":
        return found is not None
    return _find(f"{module}.{name}") is not None or (found.origin is not None and name in _names(Path(found.origin)))


def _names(source: Path) -> set[str]:
    """Return the names that a module gives values to."""
    table = symtable.symtable(source.read_text(encoding="utf-8"), source.name, "exec")
    return {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}


def _find(module: str) -> ModuleSpec | None:
    """Return where a module lies. importlib's own search would import the packages around it."""
    found, places, words = None, None, module.split(".")
    for number in range(1, len(words) + 1):
        found = PathFinder.find_spec(".".join(words[:number]), places)
        if found is None or (found.submodule_search_locations is None and number < len(words)):
            return None
        places = found.submodule_search_locations
    return found
