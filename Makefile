# What people type most. Everything a target needs is installed by .ci/install.
.PHONY: all walk test interop interop-full interop-llama interop-harness arm64 avx512 fuzz bench install completions man clean
PREFIX ?= /usr/local
# Where the program is built. What is installed is linked statically, which compiles everything anew where it was not.
BUILD ?= .build
PEERS := .build-peers/venv/bin/python
# Values a block format that are compared with ggml, and what of the forward pass is compared.
VALUES ?= 200000
FORWARD ?= --small

all:
	@bash .ci/install
	swift build -c release --static-swift-stdlib --scratch-path $(BUILD) --product pannier

# Builds the program and does the main job on the sample: inspect, verify, convert, verify.
walk:
	@bash Samples/walk.sh

test:
	@bash Tests/run.sh

# Loads the files that Pannier writes in the programs they are for, and compares bytes and logits with theirs.
interop:
	@bash .ci/install --peers
	swift build -c release --product pannier
	$(PEERS) Tests/Interop/programs.py
	$(PEERS) Tests/Interop/variants.py
	$(PEERS) Tests/Interop/containers.py
	$(PEERS) Tests/Interop/pytorch.py
	$(PEERS) Tests/Interop/layouts_peer.py
	$(PEERS) Tests/Interop/comparing.py
	$(PEERS) Tests/Interop/pages.py
	$(PEERS) Tests/Interop/quantize_peer.py --values $(VALUES)
	$(PEERS) Tests/Interop/forward_peer.py $(FORWARD)
	$(PEERS) Tests/Interop/chat_peer.py
	$(PEERS) Tests/Interop/eval_peer.py
	$(PEERS) Tests/Interop/parity_table.py

# The same with ten million values a block format and the 1.1-billion-parameter model: half an hour,
# 12 GB of memory, 9 GB of disk.
interop-full:
	@$(MAKE) interop VALUES=10000000 FORWARD=
	$(PEERS) Tests/Interop/large.py

# The options of quantizing against llama.cpp's own programs, in the folder LLAMA_BIN.
interop-llama:
	swift build -c release --product pannier
	python3 Tests/Interop/quantize_options.py

# Multiple choice against lm-evaluation-harness itself; HARNESS is a Python that has lm-eval[hf], torch and transformers.
HARNESS ?= python3
interop-harness:
	swift build -c release --product pannier
	$(HARNESS) Tests/Interop/harness_peer.py

# The quantizing kernels of arm64 under emulation; needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user.
arm64:
	@bash .ci/install --peers
	$(PEERS) Tests/Interop/arm64.py

# The AVX-512 level of all kernels under emulation, and the bytes that it quantizes to.
avx512:
	@bash .ci/install --peers
	@bash Tests/Emulation/run.sh
	CC="clang -include Tests/Emulation/avx512.h" $(PEERS) Tests/Interop/quantize_peer.py --levels avx512 --values $(VALUES)

# Each reader against a bounded number of mutated inputs, under the address sanitizer.
fuzz:
	@bash .ci/install
	@bash Tests/Fuzz/run.sh

# Prints the figures of Docs/Performance.md; takes about ten minutes and 12 GB of /dev/shm.
bench: all
	@bash Tests/Benchmarks/run.sh

# The binary, its man pages and completions.
install: completions man
	install -d $(PREFIX)/bin $(PREFIX)/share/man/man1 $(PREFIX)/share/bash-completion/completions \
	  $(PREFIX)/share/zsh/site-functions $(PREFIX)/share/fish/vendor_completions.d
	install -m 755 $(BUILD)/release/pannier $(PREFIX)/bin/pannier
	install -m 644 $(BUILD)/man/*.1 $(PREFIX)/share/man/man1/
	install -m 644 $(BUILD)/completions/pannier.bash $(PREFIX)/share/bash-completion/completions/pannier
	install -m 644 $(BUILD)/completions/_pannier $(PREFIX)/share/zsh/site-functions/_pannier
	install -m 644 $(BUILD)/completions/pannier.fish $(PREFIX)/share/fish/vendor_completions.d/pannier.fish

completions: all
	@mkdir -p $(BUILD)/completions
	$(BUILD)/release/pannier --generate-completion-script bash > $(BUILD)/completions/pannier.bash
	$(BUILD)/release/pannier --generate-completion-script zsh > $(BUILD)/completions/_pannier
	$(BUILD)/release/pannier --generate-completion-script fish > $(BUILD)/completions/pannier.fish

# A page for the program and one for each command, made from what --help says.
man: all
	bash Docs/man/make.sh $(BUILD)/release/pannier $(BUILD)/man

clean:
	rm -rf .build .build-*
