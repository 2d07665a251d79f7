# SPDX-License-Identifier: Apache-2.0
"""What goes wrong here, in sentences."""


class BenchError(Exception):
    """The benchmark cannot go on, or its result is not good enough; the text says why and what to do."""
