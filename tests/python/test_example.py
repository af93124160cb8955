"""examples/python_ctypes.py, as a reader starts it: PUSH_LIBRARY=libpush.so python3 test_example.py."""
import pathlib
import subprocess
import sys
import unittest

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "python_ctypes.py"


class Example(unittest.TestCase):
    def output(self, *arguments):
        command = [sys.executable, "-B", "-W", "error", str(EXAMPLE), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.splitlines()

    def expected(self, count):
        lines = [
            f"phone received {count} messages",
            f"laptop received {count} messages",
            f"100 sensors received {100 * count} messages",
        ]
        lost = max(count - 3, 0)
        for n in range(lost, count):
            lines.append(f"newest: message {n}" + (f", after {lost} lost" if lost and n == lost else ""))
        return lines

    def test_counts(self):
        self.assertEqual(self.output(), self.expected(1000))
        for count in (0, 2, 3, 4, 500):
            self.assertEqual(self.output(str(count)), self.expected(count))


if __name__ == "__main__":
    unittest.main()
