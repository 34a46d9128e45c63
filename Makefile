# `swift build` builds everything; this installs it.
PREFIX ?= /usr/local

install:
	scripts/install "$(PREFIX)"

.PHONY: install
