# SPDX-License-Identifier: Apache-2.0
"""Which of the machine's pip configuration the build of the operator's image uses."""

from __future__ import annotations

from kindnode.operator_image import pip_configuration


def test_the_environment_wins_over_the_file() -> None:
    options = pip_configuration({"index-url": "https://a.example/"}, {"PIP_INDEX_URL": "https://b.example/"})
    assert options == {"index-url": "https://b.example/"}


def test_certificates_come_from_pip_and_else_from_openssl() -> None:
    assert pip_configuration({}, {"SSL_CERT_FILE": "/a.pem"}) == {"cert": "/a.pem"}
    assert pip_configuration({"cert": "/b.pem"}, {"SSL_CERT_FILE": "/a.pem"}) == {"cert": "/b.pem"}
    assert pip_configuration({"cert": "/b.pem"}, {"PIP_CERT": "/c.pem"}) == {"cert": "/c.pem"}


def test_what_would_change_the_packages_stays_outside() -> None:
    configured = {"find-links": "/somewhere", "no-deps": "true", "timeout": "60"}
    assert pip_configuration(configured, {"PIP_FIND_LINKS": "/elsewhere", "PIP_PRE": "1"}) == {"timeout": "60"}
