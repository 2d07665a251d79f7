# SPDX-License-Identifier: Apache-2.0
"""`make demo`: the founding example on a real API server, from nothing to the message, in one command."""
