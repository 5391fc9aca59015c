"""Opens archives inside of archives: unpack.py ARCHIVE TARGET MEMBER...

Each MEMBER is a pattern that names exactly one file in the archive before it;
the last one is written to TARGET.
"""

import fnmatch
import io
import sys
import tarfile
import zipfile


def only(names, pattern):
    found = [name for name in names if fnmatch.fnmatch(name, pattern)]
    if len(found) != 1:
        sys.exit(f"{pattern} names {len(found)} files of the archive, not one")
    return found[0]


def member(data, pattern):
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.read(only(archive.namelist(), pattern))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.extractfile(only(archive.getnames(), pattern)).read()


path, target, *patterns = sys.argv[1:]
with open(path, "rb") as file:
    data = file.read()
for pattern in patterns:
    data = member(data, pattern)
with open(target, "wb") as file:
    file.write(data)
