"""functions.py < JSON of gcov: counts the functions of push.hpp that the test called, and names those it did not."""
import json
import sys

called = {}
for line in sys.stdin:
    for source in json.loads(line)["files"]:
        if source["file"].endswith("/push.hpp"):
            for function in source["functions"]:  # a template is there once for each of its instances
                place = function["start_line"], function["start_column"]
                calls, _ = called.get(place, (0, ""))
                called[place] = calls + function["execution_count"], function["demangled_name"]

missed = [(line, name) for (line, _), (calls, name) in sorted(called.items()) if calls == 0]
for line, name in missed:
    print(f"push.hpp:{line}: never called: {name}")
print(f"figure: functions of push.hpp that the tests call: {len(called) - len(missed)} of {len(called)}")
sys.exit(1 if missed or not called else 0)
