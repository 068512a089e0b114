"""A Hub on the loopback interface, and models that lie there."""

from tests.support.hub_client import environment, folder, foreign, hub, name, published, run, theirs

__all__ = ["environment", "folder", "foreign", "hub", "name", "published", "run", "theirs"]
