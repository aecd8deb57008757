"""What an archive said about each of its members, kept until the medium was asked for the same. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from slots.archive.policy import Member


@dataclass(slots=True)
class Listing:
    """The tree that an archive describes, by path.

    Attributes:
        members: what is at each path; the top directory has the path ``()``. Hard links are there with what they link to.
        digests: SHA-256 of each file.
        links: path of a hard link to the path of the file that it is another name of.
        size: bytes of all files.
    """

    members: dict[tuple[bytes, ...], Member] = field(default_factory=dict)
    digests: dict[tuple[bytes, ...], bytes] = field(default_factory=dict)
    links: dict[tuple[bytes, ...], tuple[bytes, ...]] = field(default_factory=dict)
    size: int = 0

    def add(self, member: Member, digest: bytes = b"") -> None:
        """Notes a member; that of a directory again replaces what was known of it."""
        self.members[member.path] = member
        if member.kind == "file":
            self.digests[member.path] = digest
            self.size += member.size

    def link(self, member: Member) -> None:
        """Notes a hard link to a member that is known."""
        first = self.links.get(member.source, member.source)
        self.links[member.path] = first
        self.members[member.path] = self.members[first]
