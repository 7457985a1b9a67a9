#!/bin/sh
# check_exports.sh LIBRARY: an error unless the one symbol of its own that it
# exports is tamer_plugin_entry. What the C++ library's templates leave behind
# (weak, in namespace std) and what the linker adds is no symbol of its own.
set -eu
exported="$(nm -D --defined-only "$1" | awk '$2 !~ /^[VWvwu]$/ && $3 !~ /^(_edata|_end|__bss_start|_init|_fini)$/ {print $3}')"
if [ "$exported" != tamer_plugin_entry ]; then
  echo "$1: a plugin exports tamer_plugin_entry alone, but this exports:" >&2
  echo "${exported:-(nothing: is TAMER_PLUGIN(...) there?)}" >&2
  exit 1
fi
