# SPDX-License-Identifier: Apache-2.0
"""A kind cluster where no registry can be reached: its node image is made from Go modules and Debian packages.

`python -m kindnode build|up|down|status`. The steps and their reasons are in `README.md` beside this file.
"""
