# SPDX-License-Identifier: MIT
# sluice: see README.md; `make help` lists the targets.
#
# Sources are found by folder: every .c under user/ but the two mains goes into libsluice.a,
# every selftests/unit/**/test_*.c is one unit test program, every bpf/*.bpf.c one object.

SHELL := /bin/bash
.DEFAULT_GOAL := all

BUILD ?= build
ifdef SANITIZE
OUT := $(BUILD)/san-$(subst $(comma),-,$(SANITIZE))
else
OUT := $(BUILD)
endif
comma := ,

CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool) bpftool)
PREFIX ?= /usr/local

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
LIBS := -lbpf -lnghttp2 -lssl -lcrypto -lyaml -lcares -ljansson -lcap
CTL_LIBS := -lsmartcols

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
BPF_TEST_SRCS := $(wildcard selftests/bpf/test_*.c)
BPF_TEST_BINS := $(BPF_TEST_SRCS:selftests/bpf/%.c=$(OUT)/bpftest/%)

.PHONY: all
all: $(OUT)/sluiced $(OUT)/sluicectl $(BPF_OBJS) ## build sluiced, sluicectl and the BPF objects

$(OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# The loader includes the skeletons.
$(OUT)/obj/user/control/bpf_loader.o: $(BPF_SKELS)

$(OUT)/libsluice.a: $(LIB_OBJS)
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/sluiced: $(OUT)/obj/user/control/main.o $(OUT)/libsluice.a
	$(CC) $(BASE_LDFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

$(OUT)/sluicectl: $(OUT)/obj/user/ctl/main.o $(CTL_OBJS) $(OUT)/libsluice.a
	$(CC) $(BASE_LDFLAGS) $(LDFLAGS) $^ $(CTL_LIBS) $(LIBS) -o $@

BPF_ARCH_INCLUDE := -I/usr/include/$(shell $(CC) -dumpmachine)
$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) -target bpf -mcpu=v3 -g -O2 -Wall -Wextra -Werror -Iinclude -Ibpf $(BPF_ARCH_INCLUDE) \
		-MMD -MP -MF $(@:.o=.d) -c $< -o $@

$(BUILD)/bpf/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp
	mv $@.tmp $@

$(OUT)/unit/%: selftests/unit/%.c $(OUT)/libsluice.a
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) $(CFLAGS) -Iselftests/unit -MMD -MP -MF $@.d $< $(OUT)/libsluice.a \
		$(BASE_LDFLAGS) $(LDFLAGS) -lcmocka $(LIBS) -o $@

$(OUT)/bpftest/%: selftests/bpf/%.c $(OUT)/libsluice.a $(BPF_SKELS)
	@mkdir -p $(@D)
	$(CC) $(BASE_CFLAGS) $(CFLAGS) -Iselftests/bpf -MMD -MP -MF $@.d $< $(OUT)/libsluice.a \
		$(BASE_LDFLAGS) $(LDFLAGS) -lcmocka $(LIBS) -o $@

.PHONY: unit
unit: $(UNIT_BINS) ## build and run the unit tests
	@for t in $^; do echo "== $$t"; $$t || exit 1; done

.PHONY: clean
clean: ## remove build/
	rm -rf $(BUILD)

-include $(LIB_OBJS:.o=.d) $(CTL_OBJS:.o=.d) $(BPF_OBJS:.o=.d) $(UNIT_BINS:=.d) \
	$(BPF_TEST_BINS:=.d) $(OUT)/obj/user/control/main.d $(OUT)/obj/user/ctl/main.d
