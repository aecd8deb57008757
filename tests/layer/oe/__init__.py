"""A build of our recipes with OpenEmbedded's own classes, where Debian's tools and empty packages stand in for its recipes.

Nothing of OpenEmbedded lies here: ``OE_ROOT`` names a directory with its checkouts (``docs/yocto-validation.md``).
"""
