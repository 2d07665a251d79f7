# SPDX-License-Identifier: Apache-2.0
"""A small Slack on loopback, for the tests and the demo: the few Web API methods that PodTracker uses."""
