from tests.ops.scan_cases import backend  # noqa: F401
