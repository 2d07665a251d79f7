# SPDX-License-Identifier: Apache-2.0
"""Makes every manifest of the repository: API types, values and rules, through templates, into files.

Used while building, never by the operator. `python -m manifests render` is what `make manifests` calls.
"""
