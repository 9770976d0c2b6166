"""Where the list of revoked tokens comes from, and what happens when it cannot be reached."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent.config.fields import Duration, File, Strict, one_of
from agent.config.redis import RedisServer


class RedisList(RedisServer):
    """A hash of JSON entries in Redis."""

    key: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        default="attache:revoked",
        description="The hash of entries; KEY:version counts its changes.",
    )


class Revocation(Strict):
    """Which tokens are refused although they are genuine and in time."""

    file: File | None = None
    redis: RedisList | None = None
    snapshot: File | None = Field(
        default=None,
        description="Where the last known list is kept, for a start without its source.",
    )
    on_loss: Literal["serve", "notReady"] = Field(
        default="serve",
        description="While the source is lost the last known list holds; notReady: and /readyz "
        "answers 503.",
    )
    max_age: Annotated[Duration, Field(ge=10)] | None = Field(
        default=None,
        description="A list that its source has not confirmed for so long admits nobody.",
    )

    @model_validator(mode="after")
    def _one(self) -> Revocation:
        one_of(self, "file", "redis")
        if self.file is not None and self.file == self.snapshot:
            raise ValueError("snapshot would overwrite the list itself; name another file")
        return self
