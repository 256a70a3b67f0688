#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""test_documents.py ALLOCATION-TABLE MAN-PAGE...: what the documents say of tables is what the tables say. Prints TAP."""

import os
import re
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(path):
    with open(f'{SOURCE}/{path}', encoding='utf-8') as f:
        return f.read()


def states():
    table = subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout.strip().splitlines()
    page = read('docs/allocation-states.md')
    shown = re.search(r'^\| state \| activate .*?(?=\n\n)', page, re.MULTILINE | re.DOTALL).group(0).splitlines()
    assert shown == table, '\n'.join(['docs/allocation-states.md should have:'] + table)
    for heading, names in (('| state | its devices', [row.split('|')[1].strip() for row in table[2:]]),
                           ('| event | comes from', [c.strip() for c in table[0].split('|')[2:-1]])):
        rows = page[page.index(heading):].split('\n\n')[0].splitlines()[2:]
        assert [row.split('|')[1].strip() for row in rows] == names, f'the rows below "{heading}" should be {names}'


def errors():
    words = set(re.findall(r'\[FAULT_\w+\] = "(\w+)"', read('lib/fault.c'))) - {'None'}
    listed = {line.split()[0] for line in read('docs/errors.txt').splitlines() if line and not line.startswith('#')}
    assert listed == words, f'missing in docs/errors.txt: {words - listed}; too many: {listed - words}'
    for path in os.listdir(f'{SOURCE}/dbus'):
        if path.endswith('.xml'):
            for sentence in re.findall(r'[Ee]rrors(?: of the call)?: ([^<]*?)\n\s*(?:-->|\n)', read(f'dbus/{path}')):
                for word in re.findall(r'\b(?:[A-Z][a-z]+){2,}\b', re.sub(r'\([^)]*\)|of [\w.]+', '', sentence)):
                    assert word in words, f'{path} names the error {word}, which there is not'


def configuration():
    keys = dict.fromkeys(re.findall(r'\{ "(\w+)", "(\w+)", parse_', read('daemon/config.c')))
    assert len(keys) > 5, 'the table of keys in daemon/config.c was not found'
    page, example = read('docs/passthroughd.conf.5.scd'), read('units/passthroughd.conf')
    for section, key in keys:
        assert f'*{key}=*' in page, f'passthroughd.conf(5) lacks {key}='
        assert f'# [{section}]' in page, f'passthroughd.conf(5) lacks [{section}]'
        assert f'[{section}]' in example, f'the example lacks [{section}]'
    for key in re.findall(r'^\*(\w+)=\*', page, re.MULTILINE) + re.findall(r'^#?(\w+)=', example, re.MULTILINE):
        assert key in {k for _section, k in keys}, f'{key}= is no key'


def actions():
    in_code = set(re.findall(r'"(org\.passthroughd1\.[a-z-]+)"', read('daemon/auth.c')))
    policy = read('polkit/org.passthroughd1.policy')
    assert set(re.findall(r'action id="([^"]+)"', policy)) == in_code, f'the policy should have the actions {in_code}'
    assert set(re.findall(r'<allow_\w+>(\w+)<', policy)) == {'auth_admin'}, 'a default keeps an authorisation, or grants one'
    for action in in_code:
        assert action in read('docs/passthroughd.8.scd'), f'passthroughd(8) lacks {action}'


def fields():
    """Each type's page has its fields and settings, and no others."""
    shared = read('modules/pci/pci-settings.h')
    for type_ in ('pci', 'sriov'):
        source, page = read(f'modules/{type_}/{type_}.c'), read(f'docs/passthroughd-{type_}.7.scd')
        names = re.findall(r'(?:FIELD|VF_TEXT|VF_NUMBER)\(\w+, "([a-z-]+)"', source)
        table = page.split('# FIELDS')[1].split('\n# ')[0]
        listed = [n.strip() for line in re.findall(r'^\|  (.*)$', table, re.MULTILINE) for n in line.split(',')]
        assert sorted(listed) == sorted(names), f'passthroughd-{type_}(7) should list the fields {sorted(names)}'
        settings = re.findall(r'\.name = "([a-z-]+)"', source + shared)
        settings += re.findall(r'#define \w+_SETTING_\w+ "([a-z-]+)"', read(f'modules/{type_}/{type_}.h'))
        for setting in settings:
            assert f'*{setting}* (' in page, f'passthroughd-{type_}(7) lacks the setting {setting}'
        stated = [line for line in page.splitlines() if re.match(r'\*[a-z-]+\* \(', line)]
        for setting in re.findall(r'\*([a-z-]+)\* \(', '\n'.join(stated)):
            assert setting in settings, f'{setting}, in passthroughd-{type_}(7), is no setting'


def files():
    """What docs/*.md send a reader to is there."""
    folders = r'(?:cli|daemon|dbus|docs|include/passthroughd|lib|modules/pci|polkit|simhost|tests/\w+|units|worker)'
    for page in ('architecture.md', 'allocation-states.md'):
        named = re.findall(rf'(?:`|\.\./)({folders}/[\w.-]+\.\w+)[`)]', read(f'docs/{page}'))
        named = [path for path in named if not re.search('KIND|OBJECT', path)]
        assert named, f'docs/{page} names no file'
        for path in named:
            assert any(os.path.exists(f'{SOURCE}/{p}') for p in (path, f'{path}.in')), f'docs/{page}: there is no {path}'


def pages():
    """They format without a warning, and say something."""
    for page in sys.argv[2:]:
        done = subprocess.run(['man', '--warnings', '-l', page], capture_output=True, text=True,
                              env=dict(os.environ, LC_ALL='C.UTF-8', MANWIDTH='100'))
        assert done.returncode == 0 and not done.stderr, f'{page}: {done.stderr}'
        assert len(done.stdout) > 1000, f'{page} is empty'
        assert not re.search('@[A-Z]+@', done.stdout), f'{page} has a word that was not replaced'


def main():
    tests = [states, errors, configuration, actions, fields, files, pages]
    failed = 0
    print(f'1..{len(tests)}')
    for number, test in enumerate(tests, 1):
        try:
            test()
            print(f'ok {number} - {test.__name__}')
        except Exception as e:
            failed += 1
            print(f'not ok {number} - {test.__name__}')
            print(''.join(f'# {line}\n' for line in f'{type(e).__name__}: {e}'.splitlines()))
    sys.exit(failed > 0)


main()
