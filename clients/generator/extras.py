"""Writes the parts of both clients that the generators leave out.

For Python: the operations as methods, and the events by their names. For both: the paths of commands, which take an
idempotency key. Last, `clients/generated.json`: the hashes of the document and of all generated files.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "fixtures" / "openapi.json"
PYTHON = ROOT / "clients" / "python" / "roomkeeper_client"
TYPESCRIPT = ROOT / "clients" / "typescript" / "src"
MANIFEST = ROOT / "clients" / "generated.json"
HEADER = "Generated from fixtures/openapi.json by clients/generate. Do not edit."
# The hand-written part of the client follows the stream.
OMITTED = {"streamEvents"}


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def name_of(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[1]


def operations(api: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """All operations as path, method and definition, in the order of their ids."""
    found = [(path, method, one) for path, item in api["paths"].items() for method, one in item.items()]
    return sorted(found, key=lambda operation: operation[2]["operationId"])


def json_of(content: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = content["content"]["application/json"]["schema"]
    return schema


def command_paths(api: dict[str, Any]) -> list[str]:
    """Regular expressions of the paths whose body takes a `command_uid`, below any prefix."""
    schemas = api["components"]["schemas"]
    patterns = []
    for path, method, operation in operations(api):
        if method == "post" and "requestBody" in operation:
            schema = schemas[name_of(json_of(operation["requestBody"]))]
            # The VoIPBIN API's `command_uid` is no idempotency key.
            if "#/components/schemas/CommandUid" in json.dumps(schema.get("properties", {})):
                pattern = re.sub(r"\{[^}]*\}", "[^/]+", re.sub(r"([.])", r"\\\1", path))
                patterns.append(f"(?:/.*)?{pattern}")
    return sorted(patterns)


def results(operation: dict[str, Any]) -> list[str]:
    """The models of the successful answers."""
    answers = operation["responses"].items()
    return sorted({name_of(json_of(answer)) for status, answer in answers if status.startswith("2")})


def method_of(operation: dict[str, Any], used: set[str]) -> tuple[str, str]:
    """The import of an operation's module, and its method, with the signature of the generated function."""
    name = snake_case(operation["operationId"])
    (module,) = (PYTHON / "generated" / "api").glob(f"*/{name}.py")
    tree = ast.parse(module.read_text())
    function = next(one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "sync_detailed")
    given, passed = ["self"], []
    for argument in function.args.args:
        given.append(ast.unparse(argument))
        passed.append(argument.arg)
    keywords = [(a, d) for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults) if a.arg != "client"]
    if keywords:
        given.append("*")
    for argument, default in keywords:
        given.append(ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else ""))
        passed.append(argument.arg)
    models = results(operation)
    used.update(models)
    for part in given:
        used.update(re.findall(r"\b[A-Z]\w+\b", part))
    arguments = ", ".join([f"{name}.sync_detailed", *(f"{one}={one}" for one in passed)])
    result = " | ".join(models)
    lines = [
        f"    def {name}({', '.join(given)}) -> {result}:",
        f'        """{operation["summary"]}."""',
        f"        return cast({result}, self._call({arguments}))",
    ]
    return f"from .generated.api.{module.parent.name} import {name}", "\n".join(lines)


def write_operations(api: dict[str, Any]) -> None:
    used: set[str] = set()
    wanted = [one for _, _, one in operations(api) if one["operationId"] not in OMITTED]
    made = [method_of(operation, used) for operation in wanted]
    models = {path.stem for path in (PYTHON / "generated" / "models").glob("*.py")}
    imported = sorted(name for name in used if snake_case(name) in models)
    lines = [
        f'"""The operations as methods.\n\n{HEADER}\n"""',
        "from __future__ import annotations",
        "import datetime\nfrom typing import Any, cast\nfrom uuid import UUID",
        "\n".join(sorted({statement for statement, _ in made})),
        "from .generated.models import (\n" + "".join(f"    {name},\n" for name in imported) + ")",
        "from .generated.types import UNSET, Unset",
        'class Operations:\n    """One method for each operation. Each returns the parsed answer, or raises `ApiError`."""\n\n'
        "    def _call(self, operation: Any, **arguments: Any) -> Any:\n        raise NotImplementedError",
        "\n\n".join(method for _, method in made),
    ]
    (PYTHON / "generated_operations.py").write_text("\n\n".join(lines) + "\n")


def write_events(api: dict[str, Any]) -> None:
    schemas = api["components"]["schemas"]
    names = {}
    for schema, definition in schemas.items():
        own = definition.get("allOf", [{}])[-1].get("properties", {})
        if schema.endswith("Event") and "enum" in own.get("event", {}):
            names[own["event"]["enum"][0]] = schema
    missing = api["webhooks"].keys() - names.keys()
    if missing:
        sys.exit(f"these webhooks have no schema of their own: {missing}")
    classes = sorted(names.values())
    patterns = command_paths(api)
    lines = [
        f'"""The events by name, and the paths of commands.\n\n{HEADER}\n"""',
        "from __future__ import annotations",
        "import re\nfrom typing import Union",
        "from .generated.models import (\n" + "".join(f"    {name},\n" for name in classes) + ")",
        "#: An event of a webhook or of the event stream.\nEvent = Union[\n"
        + "".join(f"    {name},\n" for name in classes)
        + "]",
        "EVENTS: dict[str, type[Event]] = {\n"
        + "".join(f'    "{name}": {names[name]},\n' for name in sorted(names))
        + "}",
        "#: The paths whose body takes a `command_uid`.\nCOMMAND_PATHS = (\n"
        + "".join(f'    re.compile(r"{pattern}"),\n' for pattern in patterns)
        + ")",
    ]
    (PYTHON / "generated_events.py").write_text("\n\n".join(lines) + "\n")
    live = sorted(set(names) - api["webhooks"].keys())
    script = [
        f"// {HEADER}",
        'import type { components } from "./schema.js";',
        "/** The events of the stream that are no webhooks. */\nexport type LiveEvent =\n"
        + "\n".join(f'  | components["schemas"]["{names[name]}"]' for name in live)
        + ";",
        "/** The paths whose body takes a `command_uid`. */\nexport const COMMAND_PATHS: readonly RegExp[] = [\n"
        + "".join("  /^" + pattern.replace("/", r"\/") + "$/,\n" for pattern in patterns)
        + "];",
    ]
    (TYPESCRIPT / "generated" / "extras.ts").write_text("\n\n".join(script) + "\n")


def generated_files() -> list[Path]:
    trees = [PYTHON / "generated", TYPESCRIPT / "generated"]
    found = [path for tree in trees for path in tree.rglob("*") if path.suffix in {".py", ".ts"}]
    return sorted([*found, *PYTHON.glob("generated_*.py")])


def write_manifest() -> None:
    total = hashlib.sha256()
    for path in generated_files():
        total.update(f"{path.relative_to(ROOT)}\0".encode())
        total.update(path.read_bytes())
    manifest = {
        "document": hashlib.sha256(DOCUMENT.read_bytes()).hexdigest(),
        "files": total.hexdigest(),
    }
    MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n")


def main() -> None:
    api = json.loads(DOCUMENT.read_text())
    write_operations(api)
    write_events(api)
    # The formatter of the generator, which is installed beside it.
    ruff = str(Path(sys.executable).with_name("ruff"))
    files = sorted(PYTHON.glob("generated_*.py"))
    subprocess.run([ruff, "check", "--quiet", "--select", "F401,I", "--fix", *files], check=True)
    subprocess.run([ruff, "format", "--quiet", "--line-length", "120", *files], check=True)
    write_manifest()


if __name__ == "__main__":
    main()
