#!/bin/sh
# Models of an example over seeds, from its raw files: what the tables of docs/results.md over several seeds are made of.
#
#   bench/seeds.sh EXAMPLE RAW OUT SEEDS MODEL…
#
# Prepares RAW by examples/EXAMPLE/prepare.yaml into OUT/data and trains each examples/EXAMPLE/MODEL.yaml into OUT/MODEL, whose run.json has the means over seeds and their standard errors.
# Run from the repository's root with millrace in the path. What is done already in OUT stays: after an interruption the same command goes on.
set -eu
example=examples/$1 raw=$2 out=$3 seeds=$4
shift 4
millrace prepare "$example/prepare.yaml" --data "$raw" --out "$out/data"
for model; do
	millrace train --schema "$example/schema.yaml" --model "$example/$model.yaml" --train "$out/data/train.parquet" --valid "$out/data/valid.parquet" \
		--test "$out/data/test.parquet" --threads 1 --seeds "$seeds" --out "$out/$model" --resume
done
