"""readme.py PROGRAM WWW README: the commands in the README print what it says. Its words BOOT and TIME stand for what differs."""

import re
import subprocess
import sys

from harness import Server


def examples(text):
    """Each command with the output that follows it."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            yield command, output


def same_for_all(output, port):
    output = output.replace(f":{port}/", ":8080/")
    output = re.sub(r'\b[0-9a-f]{16}\b', "BOOT", output)
    output = re.sub(r'"uptime":\d+', '"uptime":N', output)
    return re.sub(r'"time":\d{13}\b', '"time":TIME', output)


def main(program, www, readme):
    passed = failed = 0
    server = Server(program, www)
    with open(readme, encoding="utf-8") as f:
        text = f.read()
    for command, expected in examples(text):
        got = subprocess.run(["sh", "-c", command.replace(":8080/", f":{server.port}/")], capture_output=True, text=True,
                             check=False).stdout
        if same_for_all(got, server.port) == same_for_all(expected, server.port):
            passed += 1
        else:
            failed += 1
            print(f"FAIL  {command}\n  printed {got!r}\n  not     {expected!r}")
    server.process.terminate()
    if server.process.wait() != 0:
        failed += 1
        print("FAIL  the server's exit status")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


sys.exit(main(*sys.argv[1:]))
