"""Adds up JUnit reports and prints one closing line with the counts of all test runs."""

import sys
from xml.etree import ElementTree


def main(paths: list[str]) -> int:
    """Print the sums; exit code 1 when a test failed, nothing ran, or no report was given."""
    passed = failed = skipped = 0
    for path in paths:
        for suite in ElementTree.parse(path).iter("testsuite"):  # noqa: S314 (written by our own test run)
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            ignored = int(suite.get("skipped", 0))
            passed += int(suite.get("tests", 0)) - bad - ignored
            failed += bad
            skipped += ignored
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
