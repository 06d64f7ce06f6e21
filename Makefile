# SPDX-License-Identifier: MIT
# sluice: see README.md; `make help` lists the targets.
#
# Sources are found by folder: every .c under user/ but the two mains goes into libsluice.a,
# every selftests/unit/**/test_*.c is one unit test program, every bpf/*.bpf.c one object.

SHELL := /bin/bash
.DEFAULT_GOAL := all

# One short line a command; V=1 shows the commands themselves.
ifeq ($(V),1)
Q :=
say =
else
Q := @
say = @printf '  %-6s %s\n' $(1) $(patsubst $(CURDIR)/%,%,$(2))
endif

comma := ,
BUILD ?= build
# One name for one tree: the dependency files of `make BUILD=$PWD/build` and of `make` are the same.
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))
ifdef SANITIZE
OUT := $(BUILD)/san-$(subst $(comma),-,$(SANITIZE))
else
OUT := $(BUILD)
endif

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
# Ubuntu's /usr/sbin/bpftool refuses to work under any other kernel than its own.
BPFTOOL ?= $(firstword $(wildcard /usr/lib/linux-tools/*/bpftool /usr/sbin/bpftool /sbin/bpftool) bpftool)
PREFIX ?= /usr/local
PYTHON ?= /usr/bin/python3

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wno-unused-parameter
CFLAGS ?= -O2 -g
BASE_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Iinclude -Iuser -I$(BUILD)/bpf $(WARN) \
	-fno-strict-aliasing -fno-omit-frame-pointer
BASE_LDFLAGS :=
ifdef SANITIZE
BASE_CFLAGS += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
BASE_LDFLAGS += -fsanitize=$(SANITIZE)
else
BASE_CFLAGS += -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2
BASE_LDFLAGS += -pie -Wl,-z,relro,-z,now,-z,noexecstack
endif
LIBS := -lxdp -lbpf -lnghttp2 -lssl -lcrypto -lyaml -lcares -ljansson -lcap -lpcre2-8 -lm
CTL_LIBS := -lsmartcols -lncursesw -ltinfo

MAINS := user/control/main.c user/ctl/main.c
LIB_SRCS := $(filter-out $(MAINS),$(wildcard user/base/*.c user/config/*.c user/shared/*.c \
	user/balance/*.c user/proxy/*.c user/monitor/*.c user/control/*.c))
CTL_SRCS := $(filter-out user/ctl/main.c,$(wildcard user/ctl/*.c))
LIB_OBJS := $(LIB_SRCS:%.c=$(OUT)/obj/%.o)
CTL_OBJS := $(CTL_SRCS:%.c=$(OUT)/obj/%.o)
BPF_OBJS := $(patsubst bpf/%.bpf.c,$(BUILD)/bpf/%.bpf.o,$(wildcard bpf/*.bpf.c))
BPF_SKELS := $(BPF_OBJS:.bpf.o=.skel.h)
UNIT_SRCS := $(wildcard selftests/unit/*/test_*.c)
UNIT_BINS := $(UNIT_SRCS:selftests/unit/%.c=$(OUT)/unit/%)
UNIT_HELP_OBJS := $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard selftests/unit/*.c))
BPF_TEST_SRCS := $(wildcard selftests/bpf/test_*.c)
BPF_TEST_BINS := $(BPF_TEST_SRCS:selftests/bpf/%.c=$(OUT)/bpftest/%)

.PHONY: all
all: $(OUT)/sluiced $(OUT)/sluicectl $(BPF_OBJS) ## build sluiced, sluicectl and the BPF objects

.PHONY: tests
tests: $(UNIT_BINS) $(BPF_TEST_BINS) $(BUILD)/bpf/xdp_pass.bpf.o ## build the unit and BPF test programs

ifdef SANITIZE
# A sanitizer tree is used like the plain one, so it has its bpf/ too.
all: $(OUT)/bpf
$(OUT)/bpf:
	@mkdir -p $(@D)
	$(Q)ln -sfn ../bpf $@
endif

$(OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(BASE_CFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# The loader includes the skeletons.
$(patsubst %.c,$(OUT)/obj/%.o,$(wildcard user/control/bpf_loader*.c)): $(BPF_SKELS)

$(OUT)/libsluice.a: $(LIB_OBJS)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(OUT)/sluiced: $(OUT)/obj/user/control/main.o $(OUT)/libsluice.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE_LDFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

$(OUT)/sluicectl: $(OUT)/obj/user/ctl/main.o $(CTL_OBJS) $(OUT)/libsluice.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(BASE_LDFLAGS) $(LDFLAGS) $^ $(CTL_LIBS) $(LIBS) -o $@

# Not from $(CC): clang names the machine otherwise than the folder.
BPF_ARCH_INCLUDE = $(addprefix -I,$(wildcard /usr/include/$(shell uname -m)-linux-gnu))
define compile_bpf
	@mkdir -p $(@D)
	$(call say,BPF,$@)
	$(Q)$(CLANG) -target bpf -mcpu=v3 -g -O2 -Wall -Wextra -Werror -Iinclude -Ibpf $(BPF_ARCH_INCLUDE) \
		-MMD -MP -MF $(@:.o=.d) -c $< -o $@
endef
$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c
	$(compile_bpf)
# What end-to-end tests put on the other end of a veth.
$(BUILD)/bpf/%.bpf.o: selftests/e2e/%.bpf.c
	$(compile_bpf)

$(BUILD)/bpf/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp
	$(Q)mv $@.tmp $@

# Or make would count them as intermediate, and delete them.
.SECONDARY: $(UNIT_HELP_OBJS) $(BPF_SKELS)

# Unit tests can make allocations fail: selftests/unit/fault.h.
UNIT_WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup
$(OUT)/unit/%: selftests/unit/%.c $(UNIT_HELP_OBJS) $(OUT)/libsluice.a
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(BASE_CFLAGS) $(CFLAGS) -Iselftests/unit -MMD -MP -MF $@.d $< $(UNIT_HELP_OBJS) \
		$(OUT)/libsluice.a $(BASE_LDFLAGS) $(LDFLAGS) $(UNIT_WRAP) -lcmocka $(LIBS) -o $@

$(OUT)/bpftest/%: selftests/bpf/%.c $(OUT)/libsluice.a $(BPF_SKELS)
	@mkdir -p $(@D)
	$(call say,TEST,$@)
	$(Q)$(CC) $(BASE_CFLAGS) $(CFLAGS) -Iselftests/bpf -MMD -MP -MF $@.d $< $(OUT)/libsluice.a \
		$(BASE_LDFLAGS) $(LDFLAGS) -lcmocka $(LIBS) -o $@

$(OUT)/bench/xdp_%: bench/xdp_%.c $(OUT)/libsluice.a
	@mkdir -p $(@D)
	$(call say,BENCH,$@)
	$(Q)$(CC) $(BASE_CFLAGS) $(CFLAGS) -MMD -MP -MF $@.d $< $(OUT)/libsluice.a $(BASE_LDFLAGS) $(LDFLAGS) \
		$(LIBS) -o $@

# Targets that run something.
RUN := $(PYTHON) selftests/run.py --build $(BUILD)

.PHONY: unit
unit: $(UNIT_BINS) ## build and run the unit tests (with SANITIZE=...: of that tree)
	@$(PYTHON) selftests/run.py --build $(OUT) unit

.PHONY: bpftest
bpftest: $(BPF_TEST_BINS) $(BPF_OBJS) ## build and run the tests of the BPF objects (root)
	@$(PYTHON) selftests/run.py --build $(OUT) bpf

.PHONY: differential
differential: $(OUT)/bpftest/test_differential ## a million frames through the gate and a model of its rules (root)
	@SLUICE_PACKETS=$${SLUICE_PACKETS:-1000000} $<

.PHONY: lint
lint: $(BPF_SKELS) ## fences, SPDX, file lengths, shellcheck, clang-tidy
	@$(RUN) lint

.PHONY: deps
deps: ## install what is missing of packages.txt but the bench peers (root, apt)
	@tools/deps.sh runtime build demo test

.PHONY: check
check: deps ## everything: build, lint, unit, bpf, end to end, interop, sanitizers, fuzzers (root for all of it)
	@tools/deps.sh interop || true # what cannot be had is skipped, with the reason
	@$(RUN) --seconds $(FUZZ_SECONDS) all

.PHONY: vmtest
vmtest: deps ## the tests of the kernel's part inside other kernels, by virtme-ng (KERNELS="6.1 6.12 host")
	@tools/deps.sh vmtest || true # what cannot be had is skipped, with the reason
	@$(MAKE) --no-print-directory all tests
	@$(PYTHON) vmtest/run --build $(BUILD) --document $(KERNELS)

.PHONY: check-all
check-all: check ## check, then vmtest
	@$(MAKE) --no-print-directory vmtest

.PHONY: interop
interop: deps ## other people's gRPC stacks and suites through sluice (fetches what they need)
	@tools/deps.sh interop || true # what cannot be had is skipped, with the reason
	@$(RUN) build interop

.PHONY: demo
demo: ## deps, build, then sluice in a small world of namespaces (root)
	@demo/demo.sh --root # before anything is built by someone who cannot run it
	@tools/deps.sh runtime build demo
	@$(MAKE) --no-print-directory all
	@SLUICE_BUILD=$(abspath $(BUILD)) demo/demo.sh

.PHONY: demo-shell
demo-shell: ## a second shell in the running demo's world (root)
	@SLUICE_BUILD=$(abspath $(BUILD)) demo/shell.sh

.PHONY: bench
bench: ## deps, build, then sluice against nghttpx, HAProxy and nginx (root)
	@tools/deps.sh runtime build demo test bench
	@$(MAKE) --no-print-directory all $(OUT)/bench/xdp_ns
	@SLUICE_BUILD=$(abspath $(BUILD)) bench/run.sh

.PHONY: bench-flood
bench-flood: ## build, then a SYN flood: with cookies in XDP, without, with the kernel's (root)
	@tools/deps.sh runtime build demo test
	@$(MAKE) --no-print-directory all
	@SLUICE_BUILD=$(abspath $(BUILD)) bench/flood.sh

.PHONY: bench-xdp
bench-xdp: ## the gate's ns for every verdict, packets a second beside nftables (root; WRITE=1: into the docs)
	@tools/deps.sh runtime build bench
	@$(MAKE) --no-print-directory $(OUT)/bench/xdp_ns $(OUT)/bench/xdp_pps
	@SLUICE_BUILD=$(abspath $(BUILD)) bench/xdp.sh $(if $(WRITE),--write) $(if $(QUICK),--quick)

# Each selftests/fuzz/fuzz_*.c against the library, all built by clang with libFuzzer.
FUZZ_SECONDS ?= 60
FUZZ_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_OBJS := $(LIB_SRCS:%.c=$(BUILD)/fuzz/obj/%.o)
FUZZ_BINS := $(patsubst selftests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard selftests/fuzz/fuzz_*.c))
FUZZ_CFLAGS = $(filter-out -fsanitize=% -fPIE -D_FORTIFY_SOURCE=2,$(BASE_CFLAGS)) $(CFLAGS) $(FUZZ_FLAGS)

$(BUILD)/fuzz/obj/%.o: %.c $(BPF_SKELS)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

$(BUILD)/fuzz/libsluice.a: $(FUZZ_OBJS)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/fuzz/fuzz_%: selftests/fuzz/fuzz_%.c $(BUILD)/fuzz/libsluice.a
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d $(filter-out %.h,$^) $(LDFLAGS) $(LIBS) -o $@

.PHONY: fuzzers
fuzzers: $(FUZZ_BINS)

.PHONY: fuzz
fuzz: ## build the fuzzers and run each for FUZZ_SECONDS (60)
	@$(RUN) --seconds $(FUZZ_SECONDS) fuzz

XDP_FUZZ_SECONDS ?= 600
.PHONY: fuzz-xdp
fuzz-xdp: $(OUT)/bpftest/test_gate_fuzz ## frames that nobody would send through the gate for XDP_FUZZ_SECONDS (600; root)
	@SLUICE_FUZZ_WHOLE=1 SLUICE_FUZZ_SECONDS=$(XDP_FUZZ_SECONDS) $<

# Manual pages: man/NAME.SECTION.scd.
MAN_PAGES := $(patsubst man/%.scd,$(BUILD)/man/%,$(wildcard man/*.scd))

$(BUILD)/man/%: man/%.scd
	@mkdir -p $(@D)
	$(call say,MAN,$@)
	$(Q)scdoc < $< > $@.tmp
	$(Q)mv $@.tmp $@

.PHONY: man
man: $(MAN_PAGES) ## build the manual pages

SBINDIR := $(PREFIX)/sbin
BINDIR := $(PREFIX)/bin
LIBDIR := $(PREFIX)/lib
SHAREDIR := $(PREFIX)/share

.PHONY: install
install: all man ## install under $(DESTDIR)$(PREFIX)
	$(Q)install -D -m 755 $(OUT)/sluiced $(DESTDIR)$(SBINDIR)/sluiced
	$(Q)install -D -m 755 $(OUT)/sluicectl $(DESTDIR)$(BINDIR)/sluicectl
	$(Q)install -d $(DESTDIR)$(LIBDIR)/sluice/bpf $(DESTDIR)$(SHAREDIR)/doc/sluice/examples
	$(Q)install -m 644 $(BPF_OBJS) $(DESTDIR)$(LIBDIR)/sluice/bpf
	$(Q)install -m 644 LICENSE README.md $(wildcard docs/*.md) $(DESTDIR)$(SHAREDIR)/doc/sluice
	$(Q)for f in $(wildcard examples/*.yaml); do \
		install -m 644 $$f $(DESTDIR)$(SHAREDIR)/doc/sluice/examples; done
	$(Q)for f in $(MAN_PAGES); do \
		install -D -m 644 $$f $(DESTDIR)$(SHAREDIR)/man/man$${f##*.}/$${f##*/}; done
	$(Q)for f in $(wildcard packaging/*.service); do \
		install -d $(DESTDIR)$(LIBDIR)/systemd/system; \
		sed 's|@SBINDIR@|$(SBINDIR)|g; s|@BINDIR@|$(BINDIR)|g' $$f \
			> $(DESTDIR)$(LIBDIR)/systemd/system/$${f##*/}; done
	$(Q)for f in $(wildcard packaging/*.sysusers); do \
		name=$${f##*/}; \
		install -D -m 644 $$f $(DESTDIR)$(LIBDIR)/sysusers.d/$${name%.sysusers}.conf; done

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z][a-z-]*):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 20
	@echo "Variables: V=1 (show the commands), CC, CLANG, CFLAGS, LDFLAGS, BUILD (build),"
	@echo "           SANITIZE (address,undefined), PREFIX (/usr/local), DESTDIR, FUZZ_SECONDS (60)"

.PHONY: clean
clean: ## remove build/
	rm -rf $(BUILD)

-include $(LIB_OBJS:.o=.d) $(FUZZ_OBJS:.o=.d) $(FUZZ_BINS:=.d) $(CTL_OBJS:.o=.d) $(BPF_OBJS:.o=.d) $(UNIT_BINS:=.d) \
	$(BPF_TEST_BINS:=.d) $(UNIT_HELP_OBJS:.o=.d) $(OUT)/obj/user/control/main.d $(OUT)/obj/user/ctl/main.d
