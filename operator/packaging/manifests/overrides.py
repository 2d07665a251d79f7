# SPDX-License-Identifier: Apache-2.0
"""Values for one run: what `make bundle VERSION=… IMG=…` says, over what values.yaml says."""

from __future__ import annotations

import msgspec

from manifests.errors import SourceError
from manifests.sources import Channel, Date, Image, ImageName, Values, Version


class Overrides(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is None comes from values.yaml."""

    version: Version | None = None
    release_date: Date | None = None
    image_base: ImageName | None = None
    """The operator's image without tag; the bundle's and the catalog's have its name and a suffix."""
    image: Image | None = None
    """The operator's, with its tag or digest."""
    bundle_image: Image | None = None
    """As the catalog names it."""
    channels: tuple[Channel, ...] | None = None
    default_channel: Channel | None = None

    def apply(self, values: Values) -> Values:
        """The values with these in their place.

        Raises:
            SourceError: one has the wrong form.
        """
        given = {key: value for key, value in msgspec.structs.asdict(self).items() if value is not None}
        try:
            msgspec.convert(given, Overrides)
        except msgspec.ValidationError as error:
            raise SourceError(f"a value from the command line is wrong: {error}") from None
        if "image_base" in given:
            given["images"] = msgspec.structs.replace(values.images, operator=given["image_base"])
        return msgspec.structs.replace(values, **{key: given[key] for key in given if hasattr(values, key)})
