# What people type most. Everything a target needs is installed by .ci/install.
.PHONY: all walk test interop fuzz bench install completions clean
PREFIX ?= /usr/local
PEERS := .build-peers/venv/bin/python

all:
	@bash .ci/install
	swift build -c release --static-swift-stdlib --product pannier

# Builds the program and does the main job on the sample: inspect, verify, convert, verify.
walk:
	@bash Samples/walk.sh

test:
	@bash Tests/run.sh

# Loads the files that Pannier writes in the programs they are for, and compares bytes and logits with theirs.
interop:
	@bash .ci/install --peers
	swift build -c release
	@for script in Tests/Interop/*.py; do case $$script in */_*) ;; *) echo "== $$script"; $(PEERS) $$script || exit 1 ;; esac; done

# Each reader against a bounded number of mutated inputs, under the address sanitizer.
fuzz:
	@bash .ci/install
	@bash Tests/Fuzz/run.sh

# Prints the figures of Docs/Performance.md; takes about ten minutes and 12 GB of /dev/shm.
bench: all
	@bash Tests/Benchmarks/run.sh

# The binary, its man pages and completions.
install: all completions
	install -d $(PREFIX)/bin $(PREFIX)/share/man/man1 $(PREFIX)/share/bash-completion/completions \
	  $(PREFIX)/share/zsh/site-functions $(PREFIX)/share/fish/vendor_completions.d
	install -m 755 .build/release/pannier $(PREFIX)/bin/pannier
	install -m 644 Docs/man/*.1 $(PREFIX)/share/man/man1/
	install -m 644 .build/completions/pannier.bash $(PREFIX)/share/bash-completion/completions/pannier
	install -m 644 .build/completions/_pannier $(PREFIX)/share/zsh/site-functions/_pannier
	install -m 644 .build/completions/pannier.fish $(PREFIX)/share/fish/vendor_completions.d/pannier.fish

completions: all
	@mkdir -p .build/completions
	.build/release/pannier --generate-completion-script bash > .build/completions/pannier.bash
	.build/release/pannier --generate-completion-script zsh > .build/completions/_pannier
	.build/release/pannier --generate-completion-script fish > .build/completions/pannier.fish

clean:
	rm -rf .build .build-*
