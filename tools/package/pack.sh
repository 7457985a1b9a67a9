#!/usr/bin/env bash
# Puts together what an installation is:
#   pack.sh ARCHIVE TAMER HEADERS MRI FLAGS CMAKE-CONFIG PKG-CONFIG
# HEADERS lists each header's file and its name, MRI is ar's script for the library,
# FLAGS link what it stands on.
set -euo pipefail

ARCHIVE="$1" TAMER="$2" HEADERS="$3" MRI="$4" FLAGS="$5" CMAKE="$6" PC="$7"
ROOT="$(mktemp -d)"
trap 'rm -rf "$ROOT" libtamer.a' EXIT
VERSION="$("$TAMER" --version | sed 's/.* //')"

while read -r file name; do
  mkdir -p "$ROOT/include/tamer/$(dirname "$name")"
  cp -L "$file" "$ROOT/include/tamer/$name"
done < "$HEADERS"

mkdir -p "$ROOT"/{bin,lib/cmake/tamer,lib/pkgconfig,share/man/man1} \
  "$ROOT"/share/{bash-completion/completions,zsh/site-functions} \
  "$ROOT/share/fish/vendor_completions.d"
rm -f libtamer.a
ar -M < "$MRI"
cp libtamer.a "$ROOT/lib/"
cp -L "$TAMER" "$ROOT/bin/tamer"
chmod u+w "$ROOT/bin/tamer" "$ROOT/lib/libtamer.a"
"$TAMER" manual > "$ROOT/share/man/man1/tamer.1"
"$TAMER" completion bash > "$ROOT/share/bash-completion/completions/tamer"
"$TAMER" completion zsh > "$ROOT/share/zsh/site-functions/_tamer"
"$TAMER" completion fish > "$ROOT/share/fish/vendor_completions.d/tamer.fish"

sed -e "s/@VERSION@/$VERSION/" -e "s/@LIBS@/${FLAGS// /;}/" "$CMAKE" \
  > "$ROOT/lib/cmake/tamer/tamer-config.cmake"
sed -e "s/@VERSION@/$VERSION/" -e "s/@LIBS@/$FLAGS/" "$PC" \
  > "$ROOT/lib/pkgconfig/tamer.pc"
cat > "$ROOT/lib/cmake/tamer/tamer-config-version.cmake" <<END
set(PACKAGE_VERSION "$VERSION")
if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
else()
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_FIND_VERSION STREQUAL PACKAGE_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
END
tar -C "$ROOT" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
  -cf "$ARCHIVE" .
