"""The architecture: modules import their own room and lower floors, and none goes in a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# From the top. A room is a folder or a module of the package; rooms of one floor are neighbours
# that do not know each other.
FLOORS = (
    ("__main__", "recipes"),
    ("cli",),
    ("__init__",),
    ("benchmarks",),
    ("training",),
    ("evaluation", "live"),
    ("data", "tagging"),
    ("hub",),
    ("models",),
    ("backbones",),
    ("audio", "features", "layers"),
    ("architectures", "label_set", "runtime"),
    ("errors",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
OUTSIDE_CLI = ("click", "rich")
FILES = sorted([*(ROOT / "audiotag").rglob("*.py"), *(ROOT / "recipes").rglob("*.py")])


def module_name(path: Path) -> str:
    """`audiotag.cli.tag` of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def own_module(name: str) -> str | None:
    """The module of ours that an imported name is, or lies in."""
    if name in MODULES:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in MODULES else None


def room(module: str) -> str:
    """The room that a module is, or lies in."""
    root, _, rest = module.partition(".")
    return "recipes" if root == "recipes" else rest.partition(".")[0] or "__init__"


def edges() -> Iterator[tuple[str, str, str]]:
    """Module, module that it imports, and the line that does."""
    for module, path in MODULES.items():
        for line, name in imports(path):
            target = own_module(name)
            if target is not None and target != module:
                yield module, target, f"{path.relative_to(ROOT)}:{line} imports {name}"


def test_every_room_has_a_floor():
    assert {room(module) for module in MODULES} == FLOOR.keys()


def test_imports_point_down():
    wrong = [
        line
        for module, target, line in edges()
        if room(module) != room(target) and FLOOR[room(module)] >= FLOOR[room(target)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle():
    waiting: dict[str, dict[str, str]] = {module: {} for module in MODULES}
    for module, target, line in edges():
        if not target.startswith(f"{module}."):  # a package that gathers its modules
            waiting[module][target] = line
    while free := [module for module, targets in waiting.items() if not targets]:
        for module in free:
            del waiting[module]
        for targets in waiting.values():
            for module in free:
                targets.pop(module, None)
    lines = [line for targets in waiting.values() for line in targets.values()]
    assert not waiting, "\n".join(lines)


def test_only_the_command_line_knows_click_and_rich():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for module, path in MODULES.items()
        if room(module) not in ("cli", "recipes")
        for line, name in imports(path)
        if name.partition(".")[0] in OUTSIDE_CLI
    ]
    assert not wrong, "\n".join(wrong)
