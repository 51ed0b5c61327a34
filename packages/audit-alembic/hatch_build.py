"""Fill `{version}` in the dependencies with this package's own version.

The packages of one release need each other exactly; their number is written once, in VERSION.
"""

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PinnedDependencies(MetadataHookInterface):
    def update(self, metadata: dict) -> None:
        metadata["dependencies"] = [
            dependency.format(version=metadata["version"]) for dependency in self.config["dependencies"]
        ]
