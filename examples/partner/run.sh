#!/bin/sh
# Two organisations share data, and one of them is killed again and again. Options: go run ./examples/partner -h
cd "$(dirname "$0")/../.." && exec go run ./examples/partner "$@"
