# SPDX-License-Identifier: Apache-2.0
"""`python -m bundlecheck`."""

import sys

from bundlecheck.cli import main

sys.exit(main())
