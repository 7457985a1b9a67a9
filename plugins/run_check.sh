#!/bin/sh
# run_check.sh TAMER LIBRARY: the conformance kit, as a test.
exec "$1" plugins check "$2"
