# SPDX-License-Identifier: Apache-2.0
"""What the command line does beside running the operator; each command is loaded when it is asked for."""
