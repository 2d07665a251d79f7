# SPDX-License-Identifier: Apache-2.0
"""Receivers, a module each: it translates a message for its receiver, and its receiver's errors for the dispatcher."""
