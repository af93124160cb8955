"""What the tests took of src/: prints the figures, and lists what they did not take. Fails where that is anything.

report.py gcovr ROOT MARKED.json WHOLE.json   lines and branches, of `gcovr --json`, with and without regard to marks
report.py llvm ROOT EXPORT.json               conditions, of `llvm-cov export`
"""

import json
import operator
import pathlib
import re
import sys


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def source_line(root, file, number):
    return (root / file).read_text(encoding="utf-8").splitlines()[number - 1].strip()


def figure(what, covered, count):
    print(f"figure: {what}: {covered} of {count}")


def gcovr_lines(data):
    for file in data["files"]:
        for line in file["lines"]:
            if not line["gcovr/noncode"] and not line["gcovr/excluded"]:
                yield file["file"], line


def count_branches(data):
    return sum(len(line["branches"]) for _, line in gcovr_lines(data))


def list_exclusions(root):
    """Each mark, with its reason. Returns how many there are, and whether all have one."""
    marks = 0
    reasons = True
    for path in sorted((root / "src").glob("*.[ch]")):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            mark = re.search(r"([GL]COVR?_EXCL_\w+)(?:: *([^*]*\w))?", text)
            if mark:
                marks += 1
                reasons = reasons and bool(mark[2])
                print(f"excluded: src/{path.name}:{number}: {mark[2] or 'no reason is given'}")
    return marks, reasons


def report_gcovr(root, marked, whole):
    lines = taken_lines = branches = taken_branches = 0
    for file, line in gcovr_lines(marked):
        taken = [branch["count"] > 0 for branch in line["branches"]]
        lines += 1
        taken_lines += line["count"] > 0
        branches += len(taken)
        taken_branches += sum(taken)
        if line["count"] == 0 or not all(taken):
            number = line["line_number"]
            which = "the line" if line["count"] == 0 else f"{taken.count(False)} of {len(taken)} branches"
            print(f"not taken: {which}: {file}:{number}: {source_line(root, file, number)}")
    marks, reasons = list_exclusions(root)
    figure("lines taken", taken_lines, lines)
    figure("branches taken", taken_branches, branches)
    print(f"figure: marks that exclude branches: {marks}")
    print(f"figure: branches that they exclude: {count_branches(whole) - branches}")
    return lines > 0 and branches > 0 and taken_lines == lines and taken_branches == branches and reasons


def report_llvm(root, export):
    data = export["data"][0]
    # An inline function has a record for each file that it is compiled in: one that shows it is enough.
    decisions = {}
    for file in data["files"]:
        name = pathlib.Path(file["filename"]).relative_to(root)
        for record in file["mcdc_records"]:
            shown = decisions.setdefault((name, *record[:4]), [False] * len(record[-1]))
            shown[:] = map(operator.or_, shown, record[-1])
    for (name, number, *_), shown in decisions.items():
        if not all(shown):
            print(f"not shown: {shown.count(False)} of {len(shown)} conditions: {name}:{number}: "
                  f"{source_line(root, name, number)}")
    count = sum(map(len, decisions.values()))
    decisive = sum(map(sum, decisions.values()))
    figure("conditions that decide on their own (MC/DC)", decisive, count)
    branches = data["totals"]["branches"]
    figure("branches taken, as clang counts them, marks or not", branches["covered"], branches["count"])
    return 0 < count == decisive


def main():
    kind, root, *files = sys.argv[1:]
    report = {"gcovr": report_gcovr, "llvm": report_llvm}[kind]
    return 0 if report(pathlib.Path(root), *map(load, files)) else 1


sys.exit(main())
