#!/bin/sh
# Install from a folder of wheels that is kept between builds, and fetch into it only what it lacks:
# install.sh PIP WHEELS WHAT... (WHAT as pip install takes it). With all of it there no index is asked.
set -eu
pip=$1
wheels=$2
shift 2

from_wheels() { "$pip" install --quiet --no-index --find-links "$wheels" "$@"; }

from_wheels "$@" 2>/dev/null && exit
# What pip builds our package with comes from there too.
"$pip" download --quiet --no-deps --dest "$wheels" 'setuptools>=77'
"$pip" download --quiet --find-links "$wheels" --dest "$wheels" "$@"
from_wheels "$@"
