# What a user types; the build itself is Meson's (meson.build).
#
#   make             builds the program and the libraries in build/
#   make demo        fetches the VGG19 weights and two pictures, and paints one in the manner of the other (painting.png)
#                    VGG=FILE: weights of your own; PHOTO=FILE, STYLE=FILE: pictures of your own
#   make check       every test: normal, address + undefined, thread sanitizer
#   make install     to PREFIX (/usr/local), below DESTDIR
#   make setup       the Debian packages for building; demo and check do that themselves
#   make format      clang-format over the sources
#   make clean
PREFIX = /usr/local

.PHONY: all demo check install setup format clean

all: build/build.ninja
	ninja -C build

build/build.ninja:
	meson setup build --prefix=$(PREFIX) -Dtests=false

demo:
	scripts/setup demo
	$(MAKE) --no-print-directory all
	scripts/demo '$(VGG)' '$(PHOTO)' '$(STYLE)'

check:
	scripts/setup check
	scripts/check

install: all
	meson configure build --prefix=$(PREFIX)
	meson install -C build --strip

setup:
	scripts/setup build

format:
	git ls-files '*.c' '*.h' '*.inc' | xargs clang-format-14 -i

clean:
	rm -rf build build-normal build-address build-thread build-arm64 build-x86 build-avx512
