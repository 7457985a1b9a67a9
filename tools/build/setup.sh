# Sourced by the scripts in tools/: installs what Debian 12 lacks for building.
# Sets ROOT, the repository's folder, and goes there.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
cd "$ROOT"

BUILD_PACKAGES=(
  bazel-bootstrap g++ ca-certificates zlib1g-dev libssl-dev libpng-dev
  libjpeg62-turbo-dev libsentencepiece-dev libonnx-dev
  libdnnl-dev libprotobuf-dev protobuf-compiler libabsl-dev
  libbenchmark-dev libgtest-dev libgmock-dev libcli11-dev nlohmann-json3-dev
  libgraphviz-dev libisal-dev libmicrohttpd-dev
)

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "$0: '$*' needs root, and there is no sudo here" >&2
    return 1
  fi
}

# install_missing PACKAGE…: installs those that are not there, and says which.
install_missing() {
  local missing=() package
  for package in "$@"; do
    if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null |
      grep -q 'ok installed'; then
      missing+=("$package")
    fi
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  echo "installing from Debian: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
