#!/bin/sh
# Builds lib@FILE@.so with plain g++ and runs the conformance kit on it.
set -eu
cd "$(dirname "$0")"
g++ -std=c++17 -O2 -Wall -shared -fPIC -fvisibility=hidden \
  @FILE@.cc -o lib@FILE@.so
"${TAMER:-tamer}" plugins check ./lib@FILE@.so
