# SPDX-License-Identifier: Apache-2.0
"""`python -m manifests`."""

import sys

from manifests.cli import main

sys.exit(main())
