# SPDX-License-Identifier: GPL-2.0-or-later
# make demo | test | test-all | bench | install | clean; see README.md.

ARCH := $(shell uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')
# The running kernel if its headers are here, else the newest 6.1 (a guest's) of this machine.
KVER ?= $(shell [ -e /lib/modules/$$(uname -r)/build ] && uname -r || ls -d /lib/modules/6.1.*/build 2> /dev/null | cut -d/ -f4 | sort -V | tail -1)
KDIR ?= /lib/modules/$(KVER)/build
CHECK_KVER ?= $(shell ls -d /lib/modules/6.12*/build 2> /dev/null | cut -d/ -f4 | grep -v -e rt -e cloud | sort -V | tail -1)
DESTDIR ?=

BIN := node_modules/.bin
RUNTIME := node_modules/node-linux-$(ARCH)
OUT := out
KMOD_OUT := $(OUT)/kmod/$(KVER)
ADDON := build/Release/drbdd.node
PARTS := $(KMOD_OUT)/.built $(ADDON) $(OUT)/drbdd $(OUT)/engine/drbdd.cache

KMOD_SOURCES := $(shell find kmod -name '*.[ch]' -o -name Kbuild -o -name Makefile)
NATIVE_SOURCES := $(shell find native -name '*.cc' -o -name '*.h') $(shell find kmod/uapi -name '*.h' 2> /dev/null)
LAUNCHER_SOURCES := $(shell find native/launcher -name '*.[ch]')
ENGINE_SOURCES := $(shell find src -name '*.ts')

BUNDLE := --bundle --platform=node --target=node24 --format=cjs --log-level=warning

export PATH := $(CURDIR)/$(RUNTIME)/bin:$(CURDIR)/$(BIN):$(PATH)
export npm_config_loglevel := error

.PHONY: all setup install stage demo test test-all bench kmod-check clean
all: $(PARTS)

setup:
	@scripts/setup

$(KMOD_OUT)/.built: $(KMOD_SOURCES)
	@test -n "$(KVER)" || { echo 'no kernel headers here: run "make setup"' >&2; exit 1; }
	$(MAKE) -C kmod KVER=$(KVER) KDIR=$(KDIR) BUILD=$(CURDIR)/$(KMOD_OUT)
	@touch $@

$(ADDON): binding.gyp $(NATIVE_SOURCES) node_modules/.package-lock.json
	node-gyp configure build --nodedir=$(CURDIR)/$(RUNTIME) --jobs=2 --loglevel=warn
	@touch $@

$(OUT)/drbdd: $(LAUNCHER_SOURCES) kmod/uapi/drbd_shim.h
	@mkdir -p $(OUT)
	$(CC) -O2 -Wall -Wextra -o $@ $(filter %.c,$^)

# The engine is one file, and the runtime's code cache of it is made here: compiling it is most of a start.
$(OUT)/engine/drbdd.cache: $(ENGINE_SOURCES) $(ADDON) package.json node_modules/.package-lock.json
	@mkdir -p $(OUT)/engine
	esbuild src/daemon/main.ts --outfile=$(OUT)/engine/drbdd.js $(BUNDLE) --define:import.meta.url=bundleUrl \
	  --banner:js="const bundleUrl = require('node:url').pathToFileURL(bundleFile).href;"
	esbuild src/daemon/start.ts --outfile=$(OUT)/engine/start.cjs $(BUNDLE)
	cp $(ADDON) $(OUT)/engine/drbdd.node
	$(RUNTIME)/bin/node --no-memory-reducer $(CURDIR)/$(OUT)/engine/start.cjs --write-cache

# One at a time: npm ci empties the folder first.
node_modules/.package-lock.json: package-lock.json
	@mkdir -p $(OUT)
	flock $(OUT)/.npm.lock sh -c 'test $@ -nt $< || scripts/npm-ci'

install: all
	install -d $(DESTDIR)/usr/lib/modules/$(KVER)/updates/drbdd $(DESTDIR)/usr/lib/drbdd $(DESTDIR)/usr/lib/depmod.d
	install -m644 $(KMOD_OUT)/*.ko $(DESTDIR)/usr/lib/modules/$(KVER)/updates/drbdd
	echo 'override drbd * updates/drbdd' > $(DESTDIR)/usr/lib/depmod.d/drbdd.conf
	install -D -m755 $(OUT)/drbdd $(DESTDIR)/usr/sbin/drbdd
	install -m755 $(RUNTIME)/bin/node $(DESTDIR)/usr/lib/drbdd/node
	install -m644 $(OUT)/engine/* $(DESTDIR)/usr/lib/drbdd
	if [ -z "$(DESTDIR)" ]; then depmod $(KVER); fi

# What the guests get laid over their root: an installation with its own index of modules.
stage: all
	flock $(OUT)/.stage.lock sh -c 'rm -rf $(OUT)/stage && $(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(OUT)/stage > /dev/null && \
	  scripts/depmod-stage $(OUT)/stage $(KVER)'

demo: setup
	@$(MAKE) --no-print-directory stage
	@node test/demo/demo.ts

test: setup
	@$(MAKE) --no-print-directory stage
	@$(MAKE) --no-print-directory kmod-check
	node scripts/lint.ts
	tsc -p .
	vitest run --reporter=./test/reporter.ts

test-all: export TEST_ALL = 1
test-all: test

bench: setup
	@$(MAKE) --no-print-directory stage
	@node test/bench/bench.ts

# The module must build without a warning of ours on 6.1 and on 6.12.
kmod-check:
	@scripts/kmod-check $(KVER) $(CHECK_KVER)

clean:
	rm -rf build $(OUT)
