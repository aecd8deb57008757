"""Archives: read as a stream, judged member by member, unpacked, and compared with what the medium then holds."""
