#!/bin/sh
# DTRN against its three ablations and against MMoE and PLE over the same bottom, on four sets: the tables of docs/results.md, from raw files to the figures of each run.
#
#   bench/dtrn_ablations.sh DATA OUT [SEEDS]
#
# DATA holds the folders taobao-userbehavior, kuairand-sub and alibaba-2014 with the raw files that examples/*/prepare.yaml name; the simulated world is made here. Run from the repository's
# root with millrace in the path. What is done already in OUT stays: after an interruption the same command goes on. OUT/SET/MODEL/run.json has the mean over seeds and its standard error.
set -eu
data=$1 out=$2 seeds=${3:-5}

# table EXAMPLE RAW
table() {
	example=examples/$1 runs=$out/$1
	millrace prepare "$example/prepare.yaml" --data "$2" --out "$runs/data"
	for model in dtrn dtrn-no-condition dtrn-shared-trm dtrn-no-trm mmoe ple; do
		millrace train --schema "$example/schema.yaml" --model "$example/$model.yaml" --train "$runs/data/train.parquet" --valid "$runs/data/valid.parquet" \
			--test "$runs/data/test.parquet" --threads 1 --seeds "$seeds" --out "$runs/$model" --resume
	done
}

mkdir -p "$out/world"
[ -e "$out/world/impressions.csv" ] || millrace simulate --tasks --events 200000 --seed 1 --out "$out/world/impressions.csv"
table conflict "$out/world"
table taobao-multi "$data/taobao-userbehavior"
table kuairand-sub "$data/kuairand-sub"
table alibaba-2014 "$data/alibaba-2014"
