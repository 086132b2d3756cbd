#!/bin/sh
# What `make install` puts down works from another place and stays small: check_install.sh BUILD
set -eu

build=$1
limit=3000000 # bytes of our program and libraries together
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

DESTDIR=$folder meson install -C "$build" --strip --quiet --no-rebuild
prefix=$folder$(meson introspect "$build" --buildoptions |
    python3 -c 'import json, sys; print(*[o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"])')
libraries=$(dirname "$(find "$prefix" -name libimpasto.so)")

env -u LD_LIBRARY_PATH "$prefix/bin/impasto" --version
for model in thin mobilenetv3; do
    env -u LD_LIBRARY_PATH IMPASTO_MODELS=/nowhere "$prefix/bin/impasto" model info "$model" >/dev/null
done

bytes=$(find "$prefix" -type f \( -name impasto -o -name '*.so*' \) -exec cat {} + | wc -c)
echo "$bytes bytes installed"
[ "$bytes" -lt "$limit" ] || { echo "more than $limit"; exit 1; }

# A program of someone else's, by pkg-config alone, in C and in C++.
cat >"$folder/program.c" <<'PROGRAM'
#include <impasto.h>
#include <impasto_picture.h>
#include <stdio.h>
int main(void) {
    imp_context *context;
    if (imp_context_create(NULL, &context) != IMP_OK) return 1;
    int status = imp_picture_can_write(context, "no-such-folder/out.png");
    puts(imp_error(context));
    imp_context_free(context);
    return status == IMP_ERR_IO ? 0 : 1;
}
PROGRAM
cp "$folder/program.c" "$folder/program.cc"
export PKG_CONFIG_PATH="$libraries/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$folder"
for compiler in 'gcc -std=c17 program.c' 'g++ program.cc'; do
    # shellcheck disable=SC2046,SC2086 # lists of words
    (cd "$folder" && $compiler -Wall -Wextra -Werror -o program $(pkg-config --cflags --libs impasto_picture) \
        -Wl,-rpath,"$libraries" -Wl,-rpath-link,"$libraries" && ./program)
done
