#!/bin/sh
# The shared libraries export the functions that the public headers declare, all of them and nothing else:
# check_symbols.sh INCLUDE LIBIMPASTO LIBIMPASTO_PICTURE
set -eu
export LC_ALL=C

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
bad=0

check() {
    # IMP_API is the first word of each declaration, and the name the one before the first parenthesis.
    sed -n 's/^IMP_API [^(]*[ *]\(imp_[a-z0-9_]*\)(.*/\1/p' "$1" | sort >"$folder/declared"
    nm -D --defined-only "$2" | awk '{ print $NF }' | sort >"$folder/exported"
    [ -s "$folder/declared" ] || { echo "$1 declares nothing"; bad=1; }
    if ! diff -u "$folder/declared" "$folder/exported" >"$folder/difference"; then
        echo "$2 does not export what $1 declares:"
        grep '^[-+][^-+]' "$folder/difference"
        bad=1
    fi
}

check "$1/impasto.h" "$2"
check "$1/impasto_picture.h" "$3"
exit $bad
