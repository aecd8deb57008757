"""What the classes of meta-ota-agent compute. Pure: texts and numbers from BitBake variables, no file is touched.

The interpreter is that of the build host, and BitBake 2.8 runs from Python 3.8 on.
"""

BBIMPORTS = ["sizes", "layout", "wks", "bootscript", "environment_blocks", "settings", "bundle_plan", "bundle_files"]
