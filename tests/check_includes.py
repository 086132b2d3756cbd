#!/usr/bin/env python3
"""Fails on an include that points up: base < kernels, optim, formats, picture < graph < models < style < impasto.c < cli.

The program sees the library through its two public headers alone, and the module vips sees nothing but its own header.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BELOW = {
    'base': set(),
    'kernels': {'base'},
    'optim': {'base'},
    'formats': {'base'},
    'picture': {'base'},
    'graph': {'base', 'kernels'},
    'models': {'base', 'kernels', 'formats', 'graph'},
    'style': {'base', 'kernels', 'optim', 'formats', 'graph', 'models'},
    'cli': set(),
}
ENGINE = set(BELOW) - {'picture', 'cli'}  # what impasto.c is over
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def faults(path):
    """Yields what is wrong with a source's includes."""
    folder = path.parent.name if path.parent != ROOT / 'src' else None
    allowed = ENGINE if folder is None else BELOW.get(folder)
    if allowed is None:
        yield f'the folder {folder} has no floor in tests/check_includes.py'
        return
    for include in INCLUDE.findall(path.read_text(encoding='utf-8')):
        first = include.split('/')[0]
        if include in ('impasto.h', 'impasto_picture.h'):
            if include == 'impasto_picture.h' and folder not in ('picture', 'cli'):
                yield 'includes impasto_picture.h, which the engine does not know'
        elif not ((ROOT / 'src' / include).is_file()):
            yield f'includes "{include}", which is not a path below src'
        elif first != folder and first not in allowed:
            yield f'includes "{include}", which is not below it'


def main():
    sources = [path for ending in ('c', 'h', 'inc') for path in sorted((ROOT / 'src').rglob(f'*.{ending}'))]
    wrong = [f'{path.relative_to(ROOT)}: {fault}' for path in sources for fault in faults(path)]
    print('\n'.join(wrong) or f'{len(sources)} files include only what is below them')
    return 1 if wrong or not sources else 0


sys.exit(main())
